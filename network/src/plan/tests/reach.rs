//! What outputs depend on, against a probe: an element of the input that is no number, and which outputs are none then.

use std::ops::Range;

use super::*;
use crate::operators::movement::Concat;
use crate::plan::{Extent, ReceptiveField};

/// Which elements of the outputs each element of the only input reaches, and the input's shape.
struct Probe {
    shape: Vec<usize>,
    outputs: Vec<Vec<usize>>,
    /// Of every element of the input: of every output the elements that it reaches.
    reached: Vec<Vec<Vec<bool>>>,
}

impl Probe {
    fn new(plan: &Plan) -> Self {
        let shape = plan.facts.signature(plan.graph.inputs[0].value).unwrap().shape.clone();
        let Tensor::Float(x) = Noise(7).floats(&shape) else { unreachable!("floats") };
        let of_element = |element: usize| {
            let mut x = x.to_owned();
            if let Some(x) = x.iter_mut().nth(element) {
                *x = f32::NAN;
            }
            let is_nan = |tensor: Tensor| tensor.to_floats().unwrap().iter().map(|y| y.is_nan()).collect::<Vec<_>>();
            plan.run(&[TensorView::Float(x.view())]).unwrap().into_iter().map(is_nan).collect::<Vec<_>>()
        };
        assert!(of_element(x.len()).iter().flatten().all(|is_nan| !is_nan), "the probe is the only one");
        let reached = (0..x.len()).map(of_element).collect();
        let outputs = plan.outputs().map(|(_, signature)| signature.shape.clone()).collect();
        Self { shape, outputs, reached }
    }

    /// The smallest block of the input that holds all elements which reach a block of an output.
    fn block(&self, output: usize, block: &[Range<usize>]) -> Option<Vec<Range<usize>>> {
        let inside: Vec<usize> = ndarray::indices(&self.outputs[output][..])
            .into_iter()
            .enumerate()
            .filter(|(_, at)| (0..block.len()).all(|axis| block[axis].contains(&at[axis])))
            .map(|(number, _)| number)
            .collect();
        let reaches = |element: &usize| inside.iter().any(|&number| self.reached[*element][output][number]);
        let places = ndarray::indices(&self.shape[..]).into_iter().enumerate().filter(|(element, _)| reaches(element));
        let one = |at: IxDyn| (0..self.shape.len()).map(|axis| at[axis]..at[axis] + 1).collect::<Vec<_>>();
        let joined = |a: Vec<Range<usize>>, b: Vec<Range<usize>>| {
            a.into_iter().zip(b).map(|(a, b)| a.start.min(b.start)..a.end.max(b.end)).collect()
        };
        places.map(|(_, at)| one(at)).reduce(joined)
    }
}

/// Compares blocks with the probe: never less, and whether never more.
fn is_exact(plan: &Plan, blocks: usize, noise: &mut Noise) -> bool {
    let probe = Probe::new(plan);
    let mut is_exact = true;
    for output in 0..probe.outputs.len() {
        let shape = probe.outputs[output].clone();
        for number in 0..blocks {
            let range = |&length: &usize| {
                let start = noise.below(length);
                let longest = if number % 2 == 0 { 1 } else { length - start };
                start..start + 1 + noise.below(longest)
            };
            let block: Vec<Range<usize>> = shape.iter().map(range).collect();
            let found = plan.input_blocks(output, &block).unwrap().swap_remove(0);
            let wanted = probe.block(output, &block);
            let Some(wanted) = wanted else {
                is_exact &= found.is_none();
                continue;
            };
            let found = found.unwrap_or_else(|| panic!("{wanted:?} for {block:?} of {:?}", plan.graph));
            let holds = found.iter().zip(&wanted).all(|(a, b)| a.start <= b.start && b.end <= a.end);
            assert!(holds, "{found:?} for {wanted:?}, {block:?} of {shape:?}: {:?}", plan.graph);
            is_exact &= found == wanted;
        }
    }
    is_exact
}

#[test]
fn random_graphs_depend_on_no_more() {
    let (mut exact, mut most) = (0, 0);
    for seed in 0..120 {
        let graph = Random::new(seed).build();
        let mut shape: Vec<usize> = input_of(&graph, 1, 0).shape().to_vec();
        shape[0] = 1;
        let plan = graph.plan(&[shape], &PlanOptions::new()).unwrap();
        // Blocks have no holes; these leave some, or turn back at a border, or follow no position. A value may also stand twice in a
        // concatenation of pixels, of which a block reads the end of the one and the start of the other.
        let leaves_holes = graph.nodes.iter().any(|node| {
            let operator = &*node.operator as &dyn std::any::Any;
            if operator.downcast_ref().is_some_and(|concat: &Concat| concat.axis > 1) {
                return true;
            }
            let layer = operator.downcast_ref::<Convolution>();
            let is_sparse = layer.is_some_and(|layer| {
                let weights = graph.constant(node.inputs[1].unwrap()).unwrap();
                weights.shape()[2..]
                    .iter()
                    .zip(layer.strides.as_deref().unwrap_or(&[1; 3]))
                    .any(|(kernel, stride)| kernel < stride)
            });
            is_sparse || ["Pad", "Reshape"].contains(&node.operator.name())
        });
        let is_exact = is_exact(&plan, 12, &mut Noise(seed));
        assert!(is_exact || leaves_holes, "seed {seed}: {graph:?}");
        (exact, most) = (exact + usize::from(is_exact), most + 1);
    }
    assert!(exact > most / 2, "{exact} of {most}");
}

/// The plan of one operator, with constants for the inputs behind the first.
fn plan_of(name: &str, attributes: &[(&str, Attribute)], shape: &[usize], others: Vec<Option<Tensor>>) -> Plan {
    let mut builder = GraphBuilder::new();
    let x = builder.input("x", ElementType::Float, None);
    let others = others.into_iter().map(|tensor| tensor.map(|tensor| builder.constant("constant", tensor)));
    let inputs: Vec<Option<ValueId>> = [Some(x)].into_iter().chain(others.collect::<Vec<_>>()).collect();
    let y = builder.value("y");
    let operator = made(name, 18, attributes).unwrap();
    builder.push(Node { name: "node".into(), operator, inputs, outputs: vec![y] });
    builder.output("y", y);
    builder.build().unwrap().plan(&[shape.to_vec()], &PlanOptions::new()).unwrap()
}

fn whole_numbers(values: &[i64]) -> Option<Tensor> {
    Some(Tensor::integers(values.iter().copied()))
}

#[test]
fn operators_depend_on_no_more() {
    use Attribute::{Integer, Integers, Text};
    let floats = |shape: &[usize]| Some(Noise(3).floats(shape));
    let text = |text: &str| Text(text.into());
    let mut plans = Vec::new();
    let mut add = |name: &str, attributes: &[(&str, Attribute)], shape: &[usize], others: Vec<Option<Tensor>>| {
        plans.push((name.to_owned(), plan_of(name, attributes, shape, others)));
    };
    for (kernel, stride, dilation, pads) in [(3, 1, 2, 2), (3, 2, 3, 1), (1, 3, 1, 0), (4, 2, 1, 1), (2, 3, 2, 0)] {
        let attributes = [
            ("strides", Integers(vec![stride])),
            ("dilations", Integers(vec![dilation])),
            ("pads", Integers(vec![pads, pads])),
            ("group", Integer(2)),
        ];
        add("Conv", &attributes, &[2, 4, 11], vec![floats(&[2, 2, kernel])]);
        add("ConvTranspose", &attributes, &[2, 4, 6], vec![floats(&[4, 3, kernel])]);
    }
    for auto in ["SAME_UPPER", "SAME_LOWER"] {
        let attributes =
            [("kernel_shape", Integers(vec![4])), ("strides", Integers(vec![3])), ("auto_pad", text(auto))];
        add("MaxPool", &attributes, &[1, 2, 10], vec![]);
        add("Conv", &attributes, &[1, 2, 10], vec![floats(&[1, 2, 4])]);
    }
    for (pads, ceil) in [([1, 0], 1), ([2, 1], 0)] {
        let attributes = [
            ("kernel_shape", Integers(vec![3])),
            ("strides", Integers(vec![2])),
            ("dilations", Integers(vec![2])),
            ("pads", Integers(pads.to_vec())),
            ("ceil_mode", Integer(ceil)),
        ];
        add("MaxPool", &attributes, &[2, 2, 9], vec![]);
        add("LpPool", &attributes, &[2, 2, 9], vec![]);
    }
    for mode in ["constant", "reflect", "edge", "wrap"] {
        add("Pad", &[("mode", text(mode))], &[2, 6], vec![whole_numbers(&[0, 3, 1, 2])]);
    }
    add("Pad", &[("mode", text("reflect"))], &[3, 7], vec![whole_numbers(&[-1, -2, 0, 4])]);
    for (starts, ends, steps) in [([1, 2], [3, 9], [1, 3]), ([-1, -2], [-9, 0], [-1, -2])] {
        let bounds = [&starts, &ends, &[0, 1], &steps].map(|list| whole_numbers(list));
        add("Slice", &[], &[4, 9], bounds.into());
    }
    add("Transpose", &[("perm", Integers(vec![2, 0, 1]))], &[2, 3, 4], vec![]);
    add("Tile", &[], &[2, 3], vec![whole_numbers(&[3, 2])]);
    add("Expand", &[], &[3, 1], vec![whole_numbers(&[2, 3, 4])]);
    add("Concat", &[("axis", Integer(1))], &[2, 3], vec![floats(&[2, 2])]);
    add("Flatten", &[("axis", Integer(2))], &[2, 3, 4], vec![]);
    add("Reshape", &[], &[4, 2, 3], vec![whole_numbers(&[4, 6])]);
    add("Unsqueeze", &[], &[4, 3], vec![whole_numbers(&[0, 2])]);
    add("Softmax", &[("axis", Integer(1))], &[2, 3, 4], vec![]);
    add("LRN", &[("size", Integer(3))], &[2, 5, 2], vec![]);
    add("LayerNormalization", &[("axis", Integer(-1))], &[2, 3, 4], vec![floats(&[4])]);
    add("InstanceNormalization", &[], &[2, 3, 4], vec![floats(&[3]), floats(&[3])]);
    add("LpNormalization", &[("axis", Integer(1))], &[2, 3, 4], vec![]);
    add("MeanVarianceNormalization", &[("axes", Integers(vec![0, 2]))], &[2, 3, 4], vec![]);
    add("MatMul", &[], &[2, 3, 4], vec![floats(&[2, 4, 5])]);
    add("GlobalAveragePool", &[], &[2, 3, 4, 2], vec![]);
    for keep in [0, 1] {
        add("ReduceMean", &[("keepdims", Integer(keep))], &[2, 3, 4], vec![whole_numbers(&[1])]);
    }
    add("Mul", &[], &[3, 1], vec![floats(&[2, 1, 4])]);
    add("Clip", &[], &[3, 2], vec![]);
    for (name, plan) in &plans {
        assert!(is_exact(plan, 60, &mut Noise(11)), "{name}: {:?}", plan.graph);
    }
    assert!(plans.len() > 40);
}

#[test]
fn resizings_depend_on_no_more() {
    let text = |text: &str| Attribute::Text(text.into());
    let mut count = 0;
    for mode in ["nearest", "linear", "cubic"] {
        for coordinates in ["half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric", "half_pixel_symmetric"] {
            for (antialias, exclude) in [(0, 0), (1, 1), (0, 1)] {
                if mode == "nearest" && (antialias, exclude) != (0, 0) {
                    continue;
                }
                for (length, scale, size) in
                    [(6, 2.0, 0), (7, 1.5, 0), (5, 0.6, 0), (9, 0.0, 6), (4, 0.0, 10), (8, 0.0, 1)]
                {
                    let attributes = [
                        ("mode", text(mode)),
                        ("coordinate_transformation_mode", text(coordinates)),
                        ("antialias", Attribute::Integer(antialias)),
                        ("exclude_outside", Attribute::Integer(exclude)),
                    ];
                    let others = match size {
                        0 => vec![None, Some(testing::floats(&[3], &[1.0, 1.0, scale]))],
                        _ => vec![None, None, whole_numbers(&[1, 2, size])],
                    };
                    let plan = plan_of("Resize", &attributes, &[1, 2, length], others);
                    // A stretched cubic may be zero at an element, which is a hole; at a border it ends the block.
                    let has_holes = mode == "cubic" && antialias == 1;
                    assert!(is_exact(&plan, 12, &mut Noise(5)) || has_holes, "{:?}", plan.graph);
                    count += 1;
                }
            }
        }
    }
    assert_eq!(count, (5 + 2 * 5 * 3) * 6);
}

/// A network under construction, of layers with one channel and one spatial axis.
struct Line(GraphBuilder, ValueId);

impl Line {
    fn new() -> Self {
        let mut builder = GraphBuilder::new();
        let x = builder.input("x", ElementType::Float, None);
        Self(builder, x)
    }

    fn layer(mut self, name: &str, kernel: usize, stride: usize, dilation: usize, pads: usize) -> Self {
        let weights = self.0.constant("weights", ArrayD::<f32>::ones(vec![1, 1, kernel]));
        let layer = Convolution {
            is_transposed: name == "ConvTranspose",
            strides: Some(vec![stride]),
            dilations: Some(vec![dilation]),
            pads: Some(vec![pads; 2]),
            groups: 1,
            ..Convolution::default()
        };
        self.1 = self.0.node(name, layer, [self.1, weights]);
        self
    }

    fn named(mut self, name: &str, attributes: &[(&str, Attribute)], others: Vec<Option<Tensor>>) -> Self {
        let others: Vec<_> = others.into_iter().map(|other| other.map(|other| self.0.constant("c", other))).collect();
        let inputs = [Some(self.1)].into_iter().chain(others).collect();
        self.1 = self.0.value(name);
        let operator = made(name, 18, attributes).unwrap();
        self.0.push(Node { name: format!("the {name}"), operator, inputs, outputs: vec![self.1] });
        self
    }

    /// The field along the spatial axis, of an input of some length.
    fn field(mut self, length: usize) -> Extent {
        self.0.output("y", self.1);
        let plan = self.0.build().unwrap().plan(&[vec![1, 1, length]], &PlanOptions::new()).unwrap();
        let fields: Vec<ReceptiveField> = plan.receptive_fields();
        assert!(fields.iter().all(|field| field.output == "y" && field.input == "x"));
        assert_eq!((fields.len(), fields[2].axis, fields[2].length), (3, 2, length));
        assert!(matches!(fields[0].extent, Extent::Sliding { step: Some((1, 1)), .. }), "{:?}", fields[0]);
        fields[2].extent.clone()
    }
}

fn sliding(size: Range<usize>, first: i64, step: (i64, i64)) -> Extent {
    Extent::Sliding { output_axis: 2, size: size.start..=size.end, first, step: Some(step) }
}

#[test]
fn receptive_fields_are_those_of_the_formulas() {
    // size ← size·stride + extent − stride, from the output back.
    let vgg = Line::new().layer("a", 3, 1, 1, 1).layer("b", 3, 2, 1, 1).layer("c", 3, 1, 2, 2).layer("d", 2, 2, 1, 0);
    assert_eq!(vgg.field(64), sliding(15..15, -6, (4, 1)));
    // Larger than the input: padding counts.
    let wide = Line::new().layer("a", 5, 1, 4, 8).layer("b", 5, 1, 4, 8);
    assert_eq!(wide.field(5), sliding(33..33, -16, (1, 1)));
    // Phases of 1 and 2 taps, and a convolution of three such outputs: positions ⌈(o−1−1)/2⌉ to ⌊(o+1)/2⌋ for kernel 3.
    let up = Line::new().layer("ConvTranspose", 3, 2, 1, 0);
    assert_eq!(up.field(9), sliding(1..2, -1, (1, 2)));
    let (up, nine) = (Line::new().layer("ConvTranspose", 4, 2, 1, 1).layer("c", 3, 1, 1, 1), 9);
    assert_eq!(up.field(nine), sliding(3..3, -1, (1, 2)));
    // Up by two, down by two: every output has its input again.
    let around = Line::new().layer("ConvTranspose", 2, 2, 1, 0).layer("c", 2, 2, 1, 0);
    assert_eq!(around.field(8), sliding(1..1, 0, (1, 1)));
    // Nothing reaches every second output.
    let gaps = Line::new().layer("ConvTranspose", 1, 2, 1, 0);
    assert_eq!(gaps.field(8), sliding(0..1, 0, (1, 2)));
    let scales = |scale: f32| vec![None, Some(testing::floats(&[3], &[1.0, 1.0, scale]))];
    let linear = [("mode", Attribute::Text("linear".into()))];
    // Outputs at −1/6, 1/2, 7/6, … : two inputs around each.
    let resized = Line::new().named("Resize", &linear, scales(1.5));
    assert_eq!(resized.field(8), sliding(2..2, -1, (2, 3)));
    let both = Line::new().named("Resize", &linear, scales(1.5)).layer("c", 3, 3, 1, 1);
    assert_eq!(both.field(8), sliding(3..3, -1, (2, 1)));
}

#[test]
fn what_looks_at_a_whole_axis_is_named() {
    let whole = |name: &str| Extent::Whole { node: format!("the {name}") };
    let ones = || Some(Tensor::from(ArrayD::<f32>::ones(vec![1])));
    let norm = Line::new().layer("a", 3, 1, 1, 1).named("InstanceNormalization", &[], vec![ones(), ones()]);
    assert_eq!(norm.layer("b", 3, 2, 1, 1).field(16), whole("InstanceNormalization"));
    let softmax = Line::new().named("Softmax", &[("axis", Attribute::Integer(-1))], vec![]);
    assert_eq!(softmax.layer("a", 3, 1, 1, 1).field(16), whole("Softmax"));
    // Not along the other axes.
    let softmax = Line::new().layer("a", 3, 1, 1, 1).named("Softmax", &[("axis", Attribute::Integer(1))], vec![]);
    assert_eq!(softmax.field(16), sliding(3..3, -1, (1, 1)));
    // An axis of one element has nothing more to be seen.
    let pooled = Line::new().layer("a", 3, 1, 1, 1).named("GlobalAveragePool", &[], vec![]);
    assert_eq!(pooled.field(1), Extent::Fixed(-1..2));
}

#[test]
fn branches_are_taken_together() {
    let line = Line::new();
    let x = line.1;
    let mut line = line.layer("a", 3, 1, 1, 1);
    let narrow = std::mem::replace(&mut line.1, x);
    let mut wide = line.layer("b", 5, 1, 2, 4);
    wide.1 = wide.0.node("sum", Binary { operation: Operation::Add }, [narrow, wide.1]);
    assert_eq!(wide.field(32), sliding(9..9, -4, (1, 1)));
    // One behind the other: the second half of the outputs has moved.
    let mut line = Line::new();
    let x = line.1;
    line = line.named("Identity", &[], vec![]);
    let y = line.0.value("both");
    let concat = made("Concat", 18, &[("axis", Attribute::Integer(2))]).unwrap();
    line.0.push(Node { name: "both".into(), operator: concat, inputs: vec![Some(x), Some(line.1)], outputs: vec![y] });
    line.1 = y;
    assert_eq!(line.field(8), Extent::Sliding { output_axis: 2, size: 1..=1, first: 0, step: None });
}

#[test]
fn blocks_that_are_none_are_refused() {
    let plan = plan_of("Relu", &[], &[2, 3], vec![]);
    assert_eq!(plan.input_blocks(0, &[0..1, 1..3]).unwrap(), [Some(vec![0..1, 1..3])]);
    assert_eq!(plan.input_blocks(0, &[0..0, 1..3]).unwrap(), [None]);
    for wrong in [vec![], vec![0..3, 0..1], vec![0..1, Range { start: 2, end: 1 }]] {
        assert!(plan.input_blocks(0, &wrong).is_err(), "{wrong:?}");
    }
    assert!(plan.input_blocks(1, &[0..1, 1..3]).is_err());
}
