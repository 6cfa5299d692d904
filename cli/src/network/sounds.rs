//! Sounds of WAV files as tensors `[1, channels, samples]` from −1 to 1, and back as 16 bits. It knows nothing else of networks.

use std::io::Cursor;
use std::path::Path;

use convmat_network::{Tensor, TensorView};
use hound::{SampleFormat, WavReader, WavSpec, WavWriter};
use ndarray::{Array2, Array3, Axis, Ix2};

use crate::error::{Failure, Result};
use crate::files;

/// Most bytes of a file.
const MAX_BYTES: u64 = 1 << 30;

/// Room for what stands before the samples of a file.
const HEADER_BYTES: u64 = 128;

/// A sound and its samples per second.
pub struct Sound {
    pub tensor: Tensor,
    pub rate: u32,
}

/// Whether a file is a sound by its name.
pub fn is_sound_name(path: &Path) -> bool {
    files::extension(path).as_deref() == Some("wav")
}

/// The sound of a file of whole numbers or floats.
pub fn read(path: &Path) -> Result<Sound> {
    let bytes = files::read(path, MAX_BYTES).map_err(|error| Failure::read(path, error))?;
    decode(&bytes).map_err(|error| Failure::read(path, error))
}

/// The sound of a file's bytes.
pub fn decode(bytes: &[u8]) -> hound::Result<Sound> {
    let mut reader = WavReader::new(Cursor::new(bytes))?;
    let WavSpec { channels, sample_rate, bits_per_sample, sample_format } = reader.spec();
    let samples: Vec<f32> = match sample_format {
        SampleFormat::Float => reader.samples::<f32>().collect::<hound::Result<_>>()?,
        SampleFormat::Int => {
            let full = f64::from(bits_per_sample.saturating_sub(1)).exp2();
            let value = |sample: hound::Result<i32>| Ok((f64::from(sample?) / full) as f32);
            reader.samples::<i32>().map(value).collect::<hound::Result<_>>()?
        }
    };
    let channels = usize::from(channels);
    let interleaved = Array2::from_shape_vec([samples.len() / channels.max(1), channels], samples)
        .map_err(|_| hound::Error::FormatError("its last samples are incomplete"))?;
    let planes: Array3<f32> = interleaved.reversed_axes().as_standard_layout().into_owned().insert_axis(Axis(0));
    Ok(Sound { tensor: planes.into_dyn().into(), rate: sample_rate })
}

/// The file of an output `[1, channels, samples]`, `[channels, samples]` or `[samples]`, clamped to −1 to 1.
pub fn bytes(output: &TensorView, rate: u32) -> std::result::Result<Vec<u8>, String> {
    let TensorView::Float(array) = output else {
        return Err(format!("the output is of {}, and a sound is made of float", output.element()));
    };
    let wrong = || format!("the output has shape {:?}, and a sound is [1, channels, samples]", array.shape());
    let mut view = array.view();
    if view.ndim() == 3 && view.len_of(Axis(0)) == 1 {
        view = view.index_axis_move(Axis(0), 0);
    } else if view.ndim() == 1 {
        view = view.insert_axis(Axis(0));
    }
    let planes = view.into_dimensionality::<Ix2>().map_err(|_| wrong())?;
    let channels = u16::try_from(planes.nrows()).ok().filter(|&channels| channels > 0).ok_or_else(wrong)?;
    // The header has 16 bits for the bytes of a moment, 32 bits for those of a second and for all of them.
    let moment = 2 * u64::from(channels);
    let most = u64::from(u32::MAX);
    let all = moment.saturating_mul(planes.ncols() as u64).saturating_add(HEADER_BYTES);
    if moment > u16::MAX.into() || rate == 0 || moment.saturating_mul(rate.into()) > most || all > most {
        let samples = planes.ncols();
        return Err(format!("a WAV file cannot hold {channels} channels of {samples} samples, {rate} per second"));
    }
    let spec = WavSpec { channels, sample_rate: rate, bits_per_sample: 16, sample_format: SampleFormat::Int };
    let mut file = Cursor::new(Vec::new());
    let written = WavWriter::new(&mut file, spec).and_then(|mut writer| {
        let full = f64::from(i16::MAX);
        for &value in planes.t() {
            // NaN becomes silence.
            writer.write_sample((f64::from(value) * (full + 1.0)).round().clamp(-full - 1.0, full) as i16)?;
        }
        writer.finalize()
    });
    written.map_err(|error| error.to_string())?;
    Ok(file.into_inner())
}

#[cfg(test)]
mod tests {
    use convmat_network::ElementType;
    use ndarray::array;

    use super::*;

    #[test]
    fn sounds_come_back_within_half_a_step() {
        let sound: Tensor = array![[[0.0f32, 0.5, -1.0, 0.123], [1.0, -0.25, 7.0, 1e-3]]].into_dyn().into();
        let back = decode(&bytes(&sound.view(), 22_050).unwrap()).unwrap();
        assert_eq!((back.rate, back.tensor.shape()), (22_050, &[1, 2, 4][..]));
        for (found, given) in back.tensor.to_floats().unwrap().iter().zip(sound.to_floats().unwrap()) {
            assert!((found - given.clamp(-1.0, 32_767.0 / 32_768.0)).abs() <= 0.5 / 32_768.0, "{found} {given}");
        }
    }

    #[test]
    fn floats_and_24_bits_are_read() {
        for (bits_per_sample, sample_format) in [(32, SampleFormat::Float), (24, SampleFormat::Int)] {
            let spec = WavSpec { channels: 1, sample_rate: 8000, bits_per_sample, sample_format };
            let mut file = Cursor::new(Vec::new());
            let mut writer = WavWriter::new(&mut file, spec).unwrap();
            match sample_format {
                SampleFormat::Float => writer.write_sample(-0.75f32).unwrap(),
                SampleFormat::Int => writer.write_sample(-3i32 << 21).unwrap(),
            }
            writer.finalize().unwrap();
            assert_eq!(decode(file.get_ref()).unwrap().tensor, array![[[-0.75f32]]].into_dyn().into());
        }
        assert!(decode(b"no sound").is_err());
    }

    /// Files that end too early, and files with a byte that is another one: said to be wrong or read as something, never a panic.
    #[test]
    fn damaged_files_are_refused_or_read() {
        let sound: Tensor = array![[[0.0f32, 0.5, -1.0], [1.0, -0.25, 7.0]]].into_dyn().into();
        let bytes = bytes(&sound.view(), 22_050).unwrap();
        for length in 0..bytes.len() {
            assert!(decode(&bytes[..length]).is_err(), "{length} bytes");
            for other in [0x00, 0x01, 0x08, 0x7f, 0x80, 0xff] {
                let mut damaged = bytes.clone();
                damaged[length] = other;
                let _ = decode(&damaged);
            }
        }
    }

    #[test]
    fn what_is_no_sound_is_refused() {
        for shape in [&[2, 1, 8][..], &[1, 1, 1, 8], &[1, 0, 8], &[]] {
            assert!(bytes(&Tensor::zeros(ElementType::Float, shape).view(), 8000).is_err(), "{shape:?}");
        }
        assert!(bytes(&Tensor::zeros(ElementType::Integer, &[8]).view(), 8000).is_err());
    }

    #[test]
    fn what_no_header_can_say_is_refused() {
        // A file may claim 0 samples per second; those of an output are its input's.
        let write = |channels: usize, rate: u32| bytes(&Tensor::zeros(ElementType::Float, &[channels, 2]).view(), rate);
        for (channels, rate) in [(1, 0), (1, u32::MAX), (2, 1 << 30), (32_768, 1), (65_535, 8000), (30_000, 100_000)] {
            assert!(write(channels, rate).unwrap_err().contains("a WAV file cannot hold"), "{channels}, {rate}");
        }
        for (channels, rate) in [(1, 1), (1, 1 << 30), (32_767, 65_537)] {
            assert_eq!(decode(&write(channels, rate).unwrap()).unwrap().rate, rate, "{channels}, {rate}");
        }
    }
}
