//! Layers as benchmarks know them: described by numbers or in a JSON file, with random tensors. It measures nothing.

use convmat::geometry::Side;
use convmat::{
    Channels, Convolution, Direction, Formulation, FormulationOptions, Forward, Geometry, Layer, LinearOperator,
    Options, OutputSize, Padding, Plan, PlanOptions, Recipe, Result, Transposed, Workspace,
};
use ndarray::{ArcArray, Array1, Array5, Ix5};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;

/// One layer of a layer file. Absent axes come first and are neutral, exactly as in [`Geometry::lift`], so that one type
/// serves 1-D to 3-D layers.
#[derive(Clone, Debug)]
pub struct Workload {
    pub name: String,
    /// How many spatial axes were described.
    pub dimensions: usize,
    pub transposed: bool,
    pub batch: usize,
    pub in_channels: usize,
    pub out_channels: usize,
    pub input: [usize; 3],
    pub kernel: [usize; 3],
    pub options: Options<3>,
}

/// A layer of a file: its name and, where its description makes sense, itself.
pub type Described = (String, std::result::Result<Workload, String>);

/// The layers of a file.
pub fn layer_file(path: &str) -> std::result::Result<Vec<Described>, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("cannot read {path}: {error}"))?;
    layers_of(&text).map_err(|why| format!("{path}: {why}"))
}

/// The layers of a file's text.
pub fn layers_of(text: &str) -> std::result::Result<Vec<Described>, String> {
    let list: Value = serde_json::from_str(text).map_err(|error| format!("it is no JSON: {error}"))?;
    let list = list.as_array().ok_or("it holds no list of layers")?;
    let named = |(i, layer): (usize, &Value)| {
        let name = layer["name"].as_str().map_or_else(|| format!("layer {i}"), str::to_string);
        (name.clone(), Workload::parse(name, layer))
    };
    Ok(list.iter().enumerate().map(named).collect())
}

impl Workload {
    fn parse(name: String, layer: &Value) -> std::result::Result<Self, String> {
        let number = |value: &Value, what: &str| {
            value.as_u64().and_then(|n| usize::try_from(n).ok()).ok_or_else(|| format!("\"{what}\" is no whole number"))
        };
        let dimensions = layer["input"].as_array().map_or(0, Vec::len);
        if !(1..=3).contains(&dimensions) {
            return Err("\"input\" is no list of 1 to 3 lengths".into());
        }
        let axes = |what: &str, neutral: usize| {
            let list = layer[what].as_array().filter(|list| list.len() == dimensions);
            let list = list.ok_or_else(|| format!("\"{what}\" is no list of {dimensions} numbers"))?;
            let mut axes = [neutral; 3];
            for (axis, value) in axes[3 - dimensions..].iter_mut().zip(list) {
                *axis = number(value, what)?;
            }
            Ok::<_, String>(axes)
        };
        let transposed = match layer["op"].as_str() {
            Some("conv") => false,
            Some("conv_transpose") => true,
            _ => return Err("\"op\" is neither \"conv\" nor \"conv_transpose\"".into()),
        };
        let batch = number(&layer["batch"], "batch")?;
        if batch == 0 {
            return Err("\"batch\" is 0; there is nothing to measure".into());
        }
        let options = Options::new()
            .stride(axes("stride", 1)?)
            .padding(axes("padding", 0)?)
            .output_padding(axes("output_padding", 0)?)
            .dilation(axes("dilation", 1)?)
            .groups(number(&layer["groups"], "groups")?);
        Ok(Self {
            name,
            dimensions,
            transposed,
            batch,
            in_channels: number(&layer["in_channels"], "in_channels")?,
            out_channels: number(&layer["out_channels"], "out_channels")?,
            input: axes("input", 1)?,
            kernel: axes("kernel", 1)?,
            options,
        })
    }

    /// A 2-D layer with square input and kernel, by the numbers that benchmarks vary.
    pub fn square(
        name: &str,
        transposed: bool,
        batch: usize,
        [in_channels, out_channels]: [usize; 2],
        [size, kernel, stride, padding]: [usize; 4],
    ) -> Self {
        Self {
            name: name.into(),
            dimensions: 2,
            transposed,
            batch,
            in_channels,
            out_channels,
            input: [1, size, size],
            kernel: [1, kernel, kernel],
            options: Options::new().stride([1, stride, stride]).padding([0, padding, padding]),
        }
    }

    /// The geometry of the layer's C.
    pub fn geometry(&self) -> Result<Geometry<3>> {
        let (input, output) = (self.in_channels, self.out_channels);
        if self.transposed {
            let channels = Channels::of_transposed(input, output);
            return Geometry::transposed(self.input, self.kernel, channels, &self.options);
        }
        Geometry::convolution(self.input, self.kernel, Channels::of_convolution(input, output), &self.options)
    }

    /// A batch of random tensors of one side.
    pub fn tensor(&self, side: Side, seed: u64) -> Result<Array5<f32>> {
        let [channels, depth, height, width] = self.geometry()?.shape(side);
        Ok(random_tensor([self.batch, channels, depth, height, width], seed))
    }

    /// The side of C that the layer reads and the one that it writes.
    pub const fn sides(&self) -> (Side, Side) {
        if self.transposed { (Side::Small, Side::Large) } else { (Side::Large, Side::Small) }
    }

    /// Random weights.
    pub fn weights(&self, seed: u64) -> Result<ArcArray<f32, Ix5>> {
        Ok(random_tensor(self.geometry()?.weight_shape(), seed).into_shared())
    }

    /// C, and the layer without its bias as an operator on its input.
    pub fn operator(
        &self,
        weights: ArcArray<f32, Ix5>,
        formulation: Formulation,
        options: &FormulationOptions,
    ) -> Result<(Convolution<f32, 3>, Box<dyn LinearOperator<f32>>)> {
        match self.transposed {
            true => self.read::<Transposed>(weights, formulation, options),
            false => self.read::<Forward>(weights, formulation, options),
        }
    }

    /// The layer planned for its own batch, whatever batch the options expect.
    pub fn planned(
        &self,
        weights: ArcArray<f32, Ix5>,
        bias: Option<Array1<f32>>,
        options: &PlanOptions,
    ) -> Result<Planned> {
        let options = options.clone().expected_batch(self.batch);
        Ok(match self.transposed {
            true => Planned::Transposed(Layer::from_shared(weights, bias, self.options)?.plan(self.input, &options)?),
            false => Planned::Forward(Layer::from_shared(weights, bias, self.options)?.plan(self.input, &options)?),
        })
    }

    /// The layer of the other direction with the same C: its forward is this one's adjoint. None where no options of it give this
    /// geometry, as with an output padding of a stride or more.
    pub fn counterpart(&self) -> Option<Self> {
        let geometry = self.geometry().ok()?;
        let (input, options) = if self.transposed {
            let options = self.options.output_padding(0).output_size(OutputSize::Natural);
            (geometry.large_size(), options)
        } else {
            let large = geometry.large_size();
            let options = match self.options.padding {
                // The rules "same" speak of the output; this output is given.
                Padding::SameUpper | Padding::SameLower => self.options.output_size(OutputSize::Shape(large)),
                _ => self.options.output_size(large),
            };
            (geometry.small_size(), options)
        };
        let (in_channels, out_channels) = (self.out_channels, self.in_channels);
        let transposed = !self.transposed;
        let counterpart = Self { transposed, in_channels, out_channels, input, options, ..self.clone() };
        counterpart.geometry().is_ok_and(|of_counterpart| of_counterpart == geometry).then_some(counterpart)
    }

    fn read<D: Direction>(
        &self,
        weights: ArcArray<f32, Ix5>,
        formulation: Formulation,
        options: &FormulationOptions,
    ) -> Result<(Convolution<f32, 3>, Box<dyn LinearOperator<f32>>)> {
        let layer = Layer::<D, f32, 3>::from_shared(weights, None, self.options)?;
        Ok((layer.convolution(self.input)?, layer.operator_with(self.input, formulation, options)?))
    }
}

/// A plan of either direction.
pub enum Planned {
    Forward(Plan<Forward, f32, 3>),
    Transposed(Plan<Transposed, f32, 3>),
}

impl Planned {
    pub fn run_into(&self, x: &Array5<f32>, y: &mut Array5<f32>, workspace: &mut Workspace<f32>) -> Result<()> {
        match self {
            Self::Forward(plan) => plan.run_into(x, y, workspace),
            Self::Transposed(plan) => plan.run_into(x, y, workspace),
        }
    }

    pub fn recipe(&self) -> &Recipe {
        match self {
            Self::Forward(plan) => plan.recipe(),
            Self::Transposed(plan) => plan.recipe(),
        }
    }

    /// Bytes of packed weights.
    pub fn packed_bytes(&self) -> usize {
        match self {
            Self::Forward(plan) => plan.packed_bytes(),
            Self::Transposed(plan) => plan.packed_bytes(),
        }
    }

    /// Bytes of scratch memory of all threads of the current pool.
    pub fn workspace_bytes(&self, batch: usize) -> usize {
        let elements = match self {
            Self::Forward(plan) => plan.workspace_len(batch),
            Self::Transposed(plan) => plan.workspace_len(batch),
        };
        elements * size_of::<f32>()
    }

    /// Bytes of one thread's scratch memory.
    pub fn scratch_bytes(&self, batch: usize) -> usize {
        let elements = match self {
            Self::Forward(plan) => plan.workspace_per_thread(batch),
            Self::Transposed(plan) => plan.workspace_per_thread(batch),
        };
        elements * size_of::<f32>()
    }
}

/// Numbers in [−1, 1), the same for the same seed.
pub fn random(len: usize, seed: u64) -> Vec<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..len).map(|_| rng.random_range(-1.0..1.0)).collect()
}

/// A tensor of numbers in [−1, 1), the same for the same seed.
pub fn random_tensor(shape: [usize; 5], seed: u64) -> Array5<f32> {
    Array5::from_shape_vec(shape, random(shape.iter().product(), seed)).expect("as long as its shape says")
}
