//! What readers of files owe, whatever the bytes are: a value that survives being written and read, or a reason.
//!
//! Fuzzing calls these functions (`fuzz` in the repository); tests call them with the bytes that it has found worth keeping.

use convmat_network::Tensor;

use super::arrays::{self, Format, Parsed, npy_tensor};
use super::{npz, sounds};
use crate::taps;
use crate::tensors::safetensor as safetensor_f64;

/// An array in NumPy's format, for both readers of it.
pub fn npy(bytes: &[u8]) {
    #[cfg(feature = "study")]
    let of_layers = crate::study::tensors::npy(bytes);
    match npy_tensor(bytes) {
        Ok(tensor) => {
            #[cfg(feature = "study")]
            assert_eq!(of_layers.map(|array| array.shape().to_vec()).as_deref(), Ok(tensor.shape()));
            let again = npy_tensor(&Format::Npy.bytes(&[("", &tensor)]).expect("an array can be written"));
            expect_same(&tensor, again);
        }
        Err(why) => assert!(!why.is_empty()),
    }
}

/// An archive of arrays, of which one is asked for, by one of the names that it may have.
pub fn npz(bytes: &[u8]) {
    for name in [None, Some("a")] {
        match npz::tensor(bytes.to_vec(), name, &["input", "x", "a"]) {
            Ok((name, tensor)) => {
                let name = name.expect("arrays of an archive have names");
                let written = Format::Npz.bytes(&[(&name, &tensor)]).expect("an archive can be written");
                expect_same(&tensor, npz::tensor(written, None, &[]).map(|(_, tensor)| tensor));
            }
            Err(why) => assert!(!why.is_empty()),
        }
    }
}

/// A file of tensors by name: as an input of a network, as weights, as taps.
pub fn safetensors(bytes: &[u8]) {
    match arrays::safetensor(bytes, None, &["input", "x", "a"]) {
        Ok((name, tensor)) => {
            let name = name.expect("tensors of a file have names");
            let written = Format::Safetensors.bytes(&[(&name, &tensor)]).expect("a file can be written");
            expect_same(&tensor, arrays::safetensor(&written, None, &[]).map(|(_, tensor)| tensor));
            if let Ok(array) = safetensor_f64(bytes, Some(&name)) {
                assert_eq!(array.shape(), tensor.shape());
            }
        }
        Err(why) => assert!(!why.is_empty()),
    }
    match taps::parse(bytes) {
        Ok(taps) => assert_eq!(taps::expect_kernel(taps.weights.nrows(), taps.scale), Ok(())),
        Err(why) => assert!(!why.is_empty()),
    }
}

/// A sound, and the file that it becomes.
pub fn wav(bytes: &[u8]) {
    match sounds::decode(bytes) {
        Ok(sound) => {
            assert!(matches!(sound.tensor.shape(), [1, _, _]), "{:?}", sound.tensor.shape());
            match sounds::bytes(&sound.tensor.view(), sound.rate) {
                Ok(written) => {
                    let again = sounds::decode(&written).expect("what was written is a sound");
                    assert_eq!((again.rate, again.tensor.shape()), (sound.rate, sound.tensor.shape()));
                }
                Err(why) => assert!(!why.is_empty()),
            }
        }
        Err(why) => assert!(!why.to_string().is_empty()),
    }
}

/// Expects the elements of a tensor again, NaN where it has NaN.
fn expect_same(tensor: &Tensor, again: Parsed<Tensor>) {
    let again = again.expect("what was written can be read");
    let is_same = match (tensor, &again) {
        (Tensor::Float(a), Tensor::Float(b)) => {
            a.shape() == b.shape() && a.iter().zip(b).all(|(a, b)| a == b || a.is_nan() && b.is_nan())
        }
        (a, b) => a == b,
    };
    assert!(is_same, "{tensor:?} became {again:?}");
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn what_fuzzing_has_found_is_read_or_refused() {
        let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
        if !corpora.is_dir() {
            // A published package has none.
            return;
        }
        type Reader = fn(&[u8]);
        let readers: [(&str, Reader); 4] = [("npy", npy), ("npz", npz), ("safetensors", safetensors), ("wav", wav)];
        for (format, read) in readers {
            let files = std::fs::read_dir(corpora.join(format)).unwrap();
            let files: Vec<_> = files.map(|file| std::fs::read(file.unwrap().path()).unwrap()).collect();
            assert!(files.len() > 10, "{format}: {}", files.len());
            files.iter().for_each(|bytes| read(bytes));
        }
    }
}
