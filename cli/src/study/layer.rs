//! From arguments to a layer of fixed size and its weights. It knows no command.

use convmat::analysis::check::LayerMatrix;
use convmat::geometry::{Axis, Side};
use convmat::{Channels, Geometry, Options, OutputSize};
use ndarray::{Array5, ArrayD};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::error::{Failure, Result};
use crate::report::lengths;
use crate::study::args::{LayerArgs, WeightArgs};
use crate::study::tensors;
use crate::values::Lengths;

/// Most weights of a layer that is studied: 128 MiB.
const MAX_WEIGHTS: u128 = 1 << 24;

/// A layer's geometry, with the options that made it.
pub struct Layer<const N: usize> {
    /// The side that the layer reads: large for a convolution, small for a transposed one.
    pub side: Side,
    pub geometry: Geometry<N>,
    pub options: Options<N>,
}

impl<const N: usize> Layer<N> {
    /// The layer that the arguments describe; `per_group` are the channels of input and output where none are given.
    pub fn new(args: &LayerArgs, per_group: [usize; 2]) -> Result<Self> {
        let missing = || Failure::Usage("the layer needs a --kernel".to_owned());
        let kernel = args.kernel.as_ref().ok_or_else(missing)?.per_axis("--kernel")?;
        let [inputs, outputs] = per_group.map(|count| count.saturating_mul(args.groups));
        let channels = [args.in_channels.unwrap_or(inputs), args.out_channels.unwrap_or(outputs)];
        Self::with_kernel(args, kernel, channels)
    }

    fn with_kernel(args: &LayerArgs, kernel: [usize; N], [inputs, outputs]: [usize; 2]) -> Result<Self> {
        let (options, input) = (options::<N>(args)?, args.input.per_axis("--input")?);
        let (side, geometry) = if args.transposed {
            let channels = Channels::of_transposed(inputs, outputs);
            (Side::Small, Geometry::transposed(input, kernel, channels, &options)?)
        } else {
            let channels = Channels::of_convolution(inputs, outputs);
            (Side::Large, Geometry::convolution(input, kernel, channels, &options)?)
        };
        Ok(Self { side, geometry, options })
    }

    /// The matrix that it applies, with any weights.
    fn matrix(&self) -> Result<LayerMatrix> {
        let (geometry, channels) = (&self.geometry, self.geometry.channels());
        Ok(match self.side {
            Side::Large => LayerMatrix::convolution(geometry.large_size(), geometry.kernel(), channels, &self.options)?,
            Side::Small => LayerMatrix::transposed(geometry.small_size(), geometry.kernel(), channels, &self.options)?,
        })
    }

    /// The layer whose weights are `weights`, `(out, in / groups, k…)` or, transposed, `(in, out / groups, k…)`.
    fn of_weights(args: &LayerArgs, weights: &ArrayD<f64>) -> Result<Self> {
        let shape = weights.shape();
        let refused = |why: String| Err(Failure::Refused(format!("weights of shape {shape:?} {why}")));
        let (&[first, second], Ok(kernel)) = (&shape[..shape.len().min(2)], shape[shape.len().min(2)..].try_into())
        else {
            return refused(format!("do not suit {N} spatial axes: they have {} axes, not {}", shape.len(), N + 2));
        };
        let second = second.saturating_mul(args.groups);
        let [inputs, outputs] = if args.transposed { [first, second] } else { [second, first] };
        if let Some(kernel_given) = args.kernel.as_ref().map(|kernel| kernel.per_axis::<N>("--kernel")).transpose()?
            && kernel_given != kernel
        {
            return refused(format!("have no kernel {kernel_given:?}"));
        }
        for (option, given, count) in
            [("--in-channels", args.in_channels, inputs), ("--out-channels", args.out_channels, outputs)]
        {
            if let Some(given) = given
                && given != count
            {
                return refused(format!("make {count} {}, not {given}", option.trim_start_matches("--")));
            }
        }
        Self::with_kernel(args, kernel, [inputs, outputs])
    }
}

fn options<const N: usize>(args: &LayerArgs) -> Result<Options<N>> {
    let per_axis = |lengths: &Lengths, option| lengths.per_axis(option);
    let output_size = match (&args.output_size, &args.output_shape) {
        (Some(size), _) => OutputSize::Size(per_axis(size, "--output-size")?),
        (_, Some(shape)) => OutputSize::Shape(per_axis(shape, "--output-shape")?),
        _ => OutputSize::Natural,
    };
    Ok(Options::new()
        .stride(per_axis(&args.stride, "--stride")?)
        .dilation(per_axis(&args.dilation, "--dilation")?)
        .groups(args.groups)
        .padding(args.padding.per_axis("--padding")?)
        .output_padding(per_axis(&args.output_padding, "--output-padding")?)
        .output_size(output_size))
}

/// A layer to be studied: with three spatial axes, absent ones neutral, and its weights if it has numbers.
pub struct Studied {
    /// How many spatial axes were given.
    pub axes: usize,
    /// The side that the layer reads.
    pub side: Side,
    pub geometry: Geometry<3>,
    /// The matrix that the layer applies, with any weights.
    pub matrix: LayerMatrix,
    /// `[small channels, large channels / groups, kD, kH, kW]`; none where taps are symbols.
    pub weights: Option<Array5<f64>>,
}

impl Studied {
    pub fn new(layer: &LayerArgs, weights: &WeightArgs) -> Result<Self> {
        match layer.input.count() {
            1 => Self::with_axes::<1>(layer, weights),
            2 => Self::with_axes::<2>(layer, weights),
            _ => Self::with_axes::<3>(layer, weights),
        }
    }

    fn with_axes<const N: usize>(args: &LayerArgs, weights: &WeightArgs) -> Result<Self> {
        let file = weights.weights.as_deref().map(tensors::read).transpose()?;
        let layer = match &file {
            Some(file) => Layer::<N>::of_weights(args, file)?,
            None => Layer::new(args, [1, 1])?,
        };
        let shape = layer.geometry.weight_shape();
        let count = shape.iter().fold(1u128, |product, &length| product.saturating_mul(length as u128));
        if count > MAX_WEIGHTS {
            return Err(Failure::Refused(format!("{count} weights are too many; at most {MAX_WEIGHTS}")));
        }
        let values = match (file, &weights.kernel_values, weights.seed) {
            (Some(file), ..) => Some(file.iter().copied().collect()),
            (_, Some(values), _) => Some(listed(values, count)?),
            (.., Some(seed)) => Some(random(seed, count as usize)),
            _ => None,
        };
        // The counts agree: a file's shape made the geometry, and listed values were counted.
        let fitted =
            |values| Array5::from_shape_vec(shape, values).map_err(|error| Failure::Refused(error.to_string()));
        Ok(Self {
            axes: N,
            side: layer.side,
            geometry: layer.geometry.lift(),
            matrix: layer.matrix()?,
            weights: values.map(fitted).transpose()?,
        })
    }

    /// What the layer's matrix is called: C, or Cᵀ for a transposed convolution.
    pub const fn matrix_name(&self) -> &'static str {
        match self.side {
            Side::Large => "C",
            Side::Small => "Cᵀ",
        }
    }

    /// The layer in words: `convolution y = C·x: 1×5×5 → 1×3×3`.
    pub fn in_words(&self) -> String {
        layer_in_words(&self.geometry, self.axes, self.side, None)
    }

    /// Kernel, stride, dilation, padding and groups in words.
    pub fn options_in_words(&self) -> String {
        options_in_words(&self.geometry, self.axes)
    }
}

/// The layer that reads a side of a geometry of so many axes, in words; shapes with the batch where there is one.
pub fn layer_in_words(geometry: &Geometry<3>, axes: usize, side: Side, batch: Option<usize>) -> String {
    let shape = |side: Side| {
        let [channels, size @ ..] = geometry.shape(side);
        let batch = batch.map_or_else(String::new, |batch| format!("{batch}×"));
        format!("{batch}{channels}×{}", lengths(&size[3 - axes..]))
    };
    let layer = match side {
        Side::Large => "convolution y = C·x",
        Side::Small => "transposed convolution x = Cᵀ·y",
    };
    format!("{layer}: {} → {}", shape(side), shape(side.other()))
}

/// Kernel, stride, dilation, padding and groups of a geometry of so many axes, in words.
pub fn options_in_words(geometry: &Geometry<3>, axes: usize) -> String {
    let of = |f: fn(&Axis) -> usize| lengths(&geometry.axes()[3 - axes..].iter().map(f).collect::<Vec<_>>());
    format!(
        "kernel {}, stride {}, dilation {}, padding before {}, groups {}",
        of(Axis::kernel),
        of(Axis::stride),
        of(Axis::dilation),
        of(|axis| axis.begin().unsigned_abs()),
        geometry.groups()
    )
}

fn listed(values: &[f64], count: u128) -> Result<Vec<f64>> {
    if values.len() as u128 != count {
        let given = values.len();
        return Err(Failure::Usage(format!(
            "--kernel-values gives {given} numbers, but the layer has {count} weights"
        )));
    }
    match values.iter().position(|value| !value.is_finite()) {
        Some(at) => Err(Failure::Usage(format!("--kernel-values: number {at} is {}", values[at]))),
        None => Ok(values.to_vec()),
    }
}

/// Random numbers as [`number`] draws them.
pub fn random(seed: u64, count: usize) -> Vec<f64> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..count).map(|_| number(&mut rng)).collect()
}

/// A multiple of 2⁻²³ in [−1, 1): f32 and f64 hold the same numbers.
pub fn number(rng: &mut ChaCha8Rng) -> f64 {
    f64::from(rng.random_range(-(1i32 << 23)..1 << 23)) / f64::from(1 << 23)
}
