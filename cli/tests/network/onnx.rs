//! ONNX files of small networks, written message by message (protocol buffers: a key of field number and wire type before each value).

/// A message under construction.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn integer(mut self, field: u64, value: i64) -> Self {
        self.varint(field << 3);
        self.varint(value as u64);
        self
    }

    fn bytes(mut self, field: u64, bytes: &[u8]) -> Self {
        self.varint(field << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend(bytes);
        self
    }

    fn text(self, field: u64, text: &str) -> Self {
        self.bytes(field, text.as_bytes())
    }

    fn message(self, field: u64, message: Self) -> Self {
        self.bytes(field, &message.0)
    }
}

/// An input's length: a number, or a name for an open one.
#[derive(Clone, Copy)]
pub enum Length {
    Fixed(usize),
    Open(&'static str),
}

/// A type of elements, as ONNX numbers them.
#[derive(Clone, Copy)]
pub enum Element {
    Float = 1,
    Integer = 7,
}

/// A network under construction.
#[derive(Default)]
pub struct Model(Message);

impl Model {
    pub fn input(self, name: &str, element: Element, lengths: &[Length]) -> Self {
        self.value(11, name, element, lengths)
    }

    pub fn output(self, name: &str, element: Element, lengths: &[Length]) -> Self {
        self.value(12, name, element, lengths)
    }

    fn value(self, field: u64, name: &str, element: Element, lengths: &[Length]) -> Self {
        let shape = lengths.iter().fold(Message::default(), |shape, length| {
            let dimension = match length {
                Length::Fixed(length) => Message::default().integer(1, *length as i64),
                Length::Open(name) => Message::default().text(2, name),
            };
            shape.message(1, dimension)
        });
        let tensor = Message::default().integer(1, element as i64).message(2, shape);
        let value = Message::default().text(1, name).message(2, Message::default().message(1, tensor));
        Self(self.0.message(field, value))
    }

    pub fn constant(self, name: &str, shape: &[usize], values: &[f32]) -> Self {
        let raw: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let tensor = shape.iter().fold(Message::default(), |tensor, &length| tensor.integer(1, length as i64));
        let tensor = tensor.integer(2, Element::Float as i64).text(8, name).bytes(9, &raw);
        Self(self.0.message(5, tensor))
    }

    /// A node with attributes of whole numbers.
    pub fn node(self, operator: &str, inputs: &[&str], output: &str, attributes: &[(&str, &[i64])]) -> Self {
        let attributes = attributes.iter().map(|(name, values)| {
            let attribute = Message::default().text(1, name);
            values.iter().fold(attribute, |attribute, &value| attribute.integer(8, value)).integer(20, 7)
        });
        self.operation(operator, inputs, output, attributes)
    }

    /// Channels become blocks of so many rows and columns.
    pub fn depth_to_space(self, input: &str, output: &str, block: i64) -> Self {
        let attribute = Message::default().text(1, "blocksize").integer(3, block).integer(20, 2);
        self.operation("DepthToSpace", &[input], output, [attribute])
    }

    fn operation(
        self,
        operator: &str,
        inputs: &[&str],
        output: &str,
        attributes: impl IntoIterator<Item = Message>,
    ) -> Self {
        let node = inputs.iter().fold(Message::default(), |node, input| node.text(1, input));
        let node = node.text(2, output).text(3, output).text(4, operator);
        let node = attributes.into_iter().fold(node, |node, attribute| node.message(5, attribute));
        Self(self.0.message(1, node))
    }

    pub fn bytes(self) -> Vec<u8> {
        let opset = Message::default().text(1, "").integer(2, 17);
        let graph = self.0.text(2, "test");
        Message::default().integer(1, 8).message(7, graph).message(8, opset).0
    }
}

/// Weights without symmetry.
pub fn weights(count: usize) -> Vec<f32> {
    (0..count).map(|i| ((i * 37 + 11) % 29) as f32 / 29.0 - 0.4).collect()
}

/// `image [n, channels, h, w]` → `large [n, channels, 2h, 2w]`: a transposed convolution, kernel 4, stride 2.
pub fn upsampler(channels: usize) -> Vec<u8> {
    use Length::{Fixed, Open};
    Model::default()
        .input("image", Element::Float, &[Open("n"), Fixed(channels), Open("h"), Open("w")])
        .output("large", Element::Float, &[Open("n"), Fixed(channels), Open("H"), Open("W")])
        .constant("taps", &[channels, channels, 4, 4], &weights(channels * channels * 16))
        .node("ConvTranspose", &["image", "taps"], "large", &[("strides", &[2, 2]), ("pads", &[1, 1, 1, 1])])
        .bytes()
}

/// `image [n, channels, h, w]`, passed through as `same`, batch or not.
pub fn identity(batch: Length, channels: usize) -> Vec<u8> {
    use Length::{Fixed, Open};
    let ones: Vec<f32> = (0..channels * channels).map(|i| f32::from(u8::from(i % (channels + 1) == 0))).collect();
    Model::default()
        .input("image", Element::Float, &[batch, Fixed(channels), Open("h"), Open("w")])
        .output("same", Element::Float, &[batch, Fixed(channels), Open("h"), Open("w")])
        .constant("one", &[channels, channels, 1, 1], &ones)
        .node("Conv", &["image", "one"], "same", &[])
        .bytes()
}

/// `image [n, channels, h, w]` → `large`, every pixel repeated along both axes, and a bias added.
pub fn repeated(channels: usize, scale: usize, bias: f32) -> Vec<u8> {
    use Length::{Fixed, Open};
    let taps = (0..channels * channels).flat_map(|i| vec![f32::from(u8::from(i % (channels + 1) == 0)); scale * scale]);
    Model::default()
        .input("image", Element::Float, &[Open("n"), Fixed(channels), Open("h"), Open("w")])
        .output("large", Element::Float, &[Open("n"), Fixed(channels), Open("H"), Open("W")])
        .constant("taps", &[channels, channels, scale, scale], &taps.collect::<Vec<f32>>())
        .constant("bias", &[channels], &vec![bias; channels])
        .node("ConvTranspose", &["image", "taps", "bias"], "large", &[("strides", &[scale as i64; 2])])
        .bytes()
}

/// Taps of [`shuffled`], `[scale · scale, 1, 3, 3]`: each nine are not negative and have the sum 1.
pub fn smooth_taps(scale: usize) -> Vec<f32> {
    let tap = |phase: usize, i: usize| ((phase * 5 + i * 7 + 3) % 11) as f32;
    let of_phase = |phase: usize| {
        let sum: f32 = (0..9).map(|i| tap(phase, i)).sum();
        (0..9).map(move |i| tap(phase, i) / sum)
    };
    (0..scale * scale).flat_map(of_phase).collect()
}

/// `luma [1, 1, h, w]` → `large`: a channel for each phase by a convolution, then the phases side by side, as in ESPCN.
pub fn shuffled(scale: usize) -> Vec<u8> {
    use Length::{Fixed, Open};
    Model::default()
        .input("luma", Element::Float, &[Fixed(1), Fixed(1), Open("h"), Open("w")])
        .output("large", Element::Float, &[Fixed(1), Fixed(1), Open("H"), Open("W")])
        .constant("taps", &[scale * scale, 1, 3, 3], &smooth_taps(scale))
        .node("Conv", &["luma", "taps"], "phases", &[("pads", &[1, 1, 1, 1])])
        .depth_to_space("phases", "large", scale as i64)
        .bytes()
}

/// `sound [n, 1, samples]` → `late`, a sample later.
pub fn delay() -> Vec<u8> {
    use Length::{Fixed, Open};
    Model::default()
        .input("sound", Element::Float, &[Open("n"), Fixed(1), Open("samples")])
        .output("late", Element::Float, &[Open("n"), Fixed(1), Open("samples")])
        .constant("tap", &[1, 1, 3], &[1.0, 0.0, 0.0])
        .node("Conv", &["sound", "tap"], "late", &[("pads", &[1, 1])])
        .bytes()
}

/// `a + b` and `a · b` of `[n, 3]`.
pub fn arithmetic(element: Element) -> Vec<u8> {
    let lengths = [Length::Open("n"), Length::Fixed(3)];
    Model::default()
        .input("a", element, &lengths)
        .input("b", element, &lengths)
        .output("sum", element, &lengths)
        .output("product", element, &lengths)
        .node("Add", &["a", "b"], "sum", &[])
        .node("Mul", &["a", "b"], "product", &[])
        .bytes()
}
