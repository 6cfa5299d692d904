//! Layers with one channel and two axes, by the definition alone: sums as loops over taps. It knows nothing of the crate.

use proptest::prelude::*;

/// A layer with one channel on either side and two axes, as numbers per axis.
#[derive(Clone, Debug)]
pub struct Literal {
    pub transposed: bool,
    pub input: [i64; 2],
    pub kernel: [i64; 2],
    pub stride: [i64; 2],
    pub dilation: [i64; 2],
    pub padding: [i64; 2],
    pub output_padding: [i64; 2],
    pub x: Vec<i64>,
    pub w: Vec<i64>,
}

impl Literal {
    pub fn line(&self) -> String {
        let by = |lengths: [i64; 2]| format!("{}x{}", lengths[0], lengths[1]);
        let list = |values: &[i64]| values.iter().map(i64::to_string).collect::<Vec<_>>().join(",");
        let mut line = format!(
            "--input {} --kernel {} --stride {} --dilation {} --padding {} --values={} --kernel-values={}",
            by(self.input),
            by(self.kernel),
            by(self.stride),
            by(self.dilation),
            by(self.padding),
            list(&self.x),
            list(&self.w)
        );
        if self.transposed {
            line += &format!(" --transposed --output-padding {}", by(self.output_padding));
        }
        line
    }

    /// PyTorch's output sizes.
    pub fn output(&self) -> [i64; 2] {
        [0, 1].map(|i| {
            let extent = self.dilation[i] * (self.kernel[i] - 1);
            if self.transposed {
                (self.input[i] - 1) * self.stride[i] - 2 * self.padding[i] + extent + self.output_padding[i] + 1
            } else {
                (self.input[i] + 2 * self.padding[i] - extent - 1).div_euclid(self.stride[i]) + 1
            }
        })
    }

    /// All products: place in the output, value; by input for a transposed convolution, by output for a convolution.
    pub fn products(&self) -> Vec<Vec<([i64; 2], i64)>> {
        let from = if self.transposed { self.input } else { self.output() };
        let to = if self.transposed { self.output() } else { self.input };
        let mut all = Vec::new();
        for (i, j) in (0..from[0]).flat_map(|i| (0..from[1]).map(move |j| (i, j))) {
            let mut products = Vec::new();
            for (a, b) in (0..self.kernel[0]).flat_map(|a| (0..self.kernel[1]).map(move |b| (a, b))) {
                let h = i * self.stride[0] + a * self.dilation[0] - self.padding[0];
                let w = j * self.stride[1] + b * self.dilation[1] - self.padding[1];
                let weight = self.w[(a * self.kernel[1] + b) as usize];
                let inside = (0..to[0]).contains(&h) && (0..to[1]).contains(&w);
                if self.transposed {
                    products.push(([h, w], weight * self.x[(i * from[1] + j) as usize]));
                } else if inside {
                    products.push(([i, j], weight * self.x[(h * to[1] + w) as usize]));
                }
            }
            all.push(products);
        }
        all
    }

    /// The output, row-major.
    pub fn result(&self) -> Vec<i64> {
        let [rows, columns] = self.output();
        let mut result = vec![0; (rows * columns) as usize];
        for ([h, w], product) in self.products().into_iter().flatten() {
            if (0..rows).contains(&h) && (0..columns).contains(&w) {
                result[(h * columns + w) as usize] += product;
            }
        }
        result
    }
}

pub fn layers(transposed: bool) -> impl Strategy<Value = Literal> {
    let pair = |from: i64, to: i64| [from..=to, from..=to];
    let sizes = (pair(1, 4), pair(1, 3), pair(1, 3), pair(1, 2), pair(0, 2), pair(0, 2));
    let values = (prop::collection::vec(-9i64..=9, 16), prop::collection::vec(-9i64..=9, 9));
    (sizes, values).prop_filter_map("no output", move |((input, kernel, stride, dilation, padding, extra), (x, w))| {
        let layer = Literal {
            transposed,
            x: x[..(input[0] * input[1]) as usize].to_vec(),
            w: w[..(kernel[0] * kernel[1]) as usize].to_vec(),
            output_padding: [0, 1].map(|i| if transposed { extra[i].min(stride[i].max(dilation[i]) - 1) } else { 0 }),
            input,
            kernel,
            stride,
            dilation,
            padding,
        };
        layer.output().iter().all(|&length| length > 0).then_some(layer)
    })
}
