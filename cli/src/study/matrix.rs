//! `convmat matrix`: the matrix of a layer, printed, exported and drawn.
//!
//! This file checks limits, prints the facts and writes files; [`shown`] knows which entry stands where, the other files each know
//! one way to show that.

mod picture;
mod png;
mod shown;
mod svg;
mod terminal;
mod tex;

use std::io::Write;
use std::path::{Path, PathBuf};

use convmat::bytes_in_words;
use sprs::CsMat;

use self::picture::Panels;
use self::shown::Shown;
use crate::error::{Failure, Result};
use crate::files;
use crate::report::{field, matrix};
use crate::study::args::{MatrixArgs, Permutation, Variable, WeightArgs};
use crate::study::layer::{self, Studied};
use crate::study::matrices::Format;
use crate::study::tensors;

/// Most rows, columns and entries that are visited one by one: some seconds.
const MAX_VISITED: u128 = 1 << 28;

/// What a file is to hold, by its extension.
#[derive(Clone, Copy)]
enum Kind {
    Matrix(Format),
    Png,
    Svg,
    Tex,
}

impl Kind {
    fn of(path: &Path) -> Result<Self> {
        match (Format::of(path), files::extension(path).as_deref()) {
            (Some(format), _) => Ok(Self::Matrix(format)),
            (_, Some("png")) => Ok(Self::Png),
            (_, Some("svg")) => Ok(Self::Svg),
            (_, Some("tex")) => Ok(Self::Tex),
            _ => {
                let path = path.display();
                Err(Failure::Usage(format!("{path} does not end in .npy, .npz, .mtx, .png, .svg or .tex")))
            }
        }
    }
}

pub fn run(args: &MatrixArgs, out: &mut dyn Write) -> Result<()> {
    let outputs = expect_outputs(args)?;
    let (layer, values) = studied(args)?;
    describe(args, &layer, out)?;
    let visited = layer.geometry.axes().iter().map(|axis| axis.entries());
    let lines = (layer.geometry.rows() as u128).saturating_add(layer.geometry.columns() as u128);
    let visited = visited.chain([layer.geometry.entries(), lines]).fold(0u128, u128::saturating_add);
    if visited > MAX_VISITED {
        let why = format!("more than {MAX_VISITED} rows, columns and entries are not visited one by one");
        if !outputs.is_empty() {
            return Err(Failure::Refused(format!("the matrix is too large to write: {why}")));
        }
        writeln!(out, "\nNeither bandwidth nor entries: {why}.")?;
        return Ok(());
    }
    let permuted = args.permute == Some(Permutation::Polyphase);
    let shown = Shown::new(&layer, args.wrt == Variable::Weights, permuted, values)?;
    let [below, above] = shown.bandwidth();
    field(out, "bandwidth", format_args!("{below} below the diagonal, {above} above"))?;
    if permuted {
        let [rows, columns] = [&shown.rows, &shown.columns].map(|side| side.starts().len());
        field(out, "polyphase", format_args!("{rows} × {columns} blocks, each a convolution with stride 1"))?;
    }
    match terminal::text(&shown, args.digits.into()) {
        Some(text) => write!(out, "\n{text}")?,
        None => {
            let (rows, columns) = (terminal::MAX_ROWS, terminal::MAX_WIDTH);
            let note = format!("Too large to print (more than {rows} rows or {columns} characters a row)");
            writeln!(out, "\n{note}; -o FILE.svg or FILE.png draws it.")?;
        }
    }
    write(args, &outputs, &shown, &layer, out)
}

/// The outputs, if nothing but their contents is missing.
fn expect_outputs(args: &MatrixArgs) -> Result<Vec<(&PathBuf, Kind)>> {
    let kinds = args.output.iter().map(|path| Kind::of(path).map(|kind| (path, kind))).collect::<Result<Vec<_>>>()?;
    let picture = kinds.iter().any(|(_, kind)| matches!(kind, Kind::Png | Kind::Svg));
    if args.with_transpose && !picture {
        return Err(Failure::Usage("--with-transpose needs -o FILE.png or FILE.svg".to_owned()));
    }
    for (i, path) in args.output.iter().enumerate() {
        if args.output[..i].contains(path) {
            return Err(Failure::Usage(format!("{} is given twice", path.display())));
        }
    }
    let numbers = args.weights.seed.is_some()
        || if args.wrt == Variable::Weights {
            args.x.is_some()
        } else {
            args.weights.weights.is_some() || args.weights.kernel_values.is_some()
        };
    if !numbers && let Some((path, _)) = kinds.iter().find(|(_, kind)| matches!(kind, Kind::Matrix(_))) {
        let needed = match args.wrt {
            Variable::Input => "--weights, --kernel-values or --seed",
            Variable::Weights => "--x or --seed",
        };
        return Err(Failure::Usage(format!("{} needs numbers: {needed}", path.display())));
    }
    for path in &args.output {
        files::expect_writable(path, args.force)?;
    }
    Ok(kinds)
}

/// The layer, and the numbers that its entries are: weights, or the input with --wrt weights.
fn studied(args: &MatrixArgs) -> Result<(Studied, Option<Vec<f64>>)> {
    if args.wrt == Variable::Input {
        if args.x.is_some() {
            return Err(Failure::Usage("--x is the input that --wrt weights fixes; give that as well".to_owned()));
        }
        let mut layer = Studied::new(&args.layer, &args.weights)?;
        let values = layer.weights.take().map(|weights| weights.into_iter().collect());
        return Ok((layer, values));
    }
    if args.weights.weights.is_some() || args.weights.kernel_values.is_some() {
        return Err(Failure::Usage("--wrt weights leaves the weights open; --x or --seed gives the input".to_owned()));
    }
    if args.permute.is_some() {
        return Err(Failure::Usage("--permute orders rows and columns of the matrix wrt the input".to_owned()));
    }
    let layer = Studied::new(&args.layer, &WeightArgs { weights: None, kernel_values: None, seed: None })?;
    let shape = layer.geometry.shape(layer.side);
    let count = shape.iter().product::<usize>();
    let values = match (&args.x, args.weights.seed) {
        (Some(place), _) => {
            let x = tensors::read(place)?;
            let [channels, size @ ..] = shape;
            let expected = [&[channels], &size[3 - layer.axes..]].concat();
            let given = x.shape().strip_prefix(&[1]).filter(|rest| rest.len() == expected.len()).unwrap_or(x.shape());
            if given != expected {
                let why = format!("x has shape {:?}; the layer's input has {expected:?}", x.shape());
                return Err(Failure::Refused(why));
            }
            Some(x.iter().copied().collect())
        }
        (None, Some(seed)) => {
            expect_bytes("the input", count as u128 * 8, args.memory_limit.0, "a smaller one")?;
            Some(layer::random(seed, count))
        }
        (None, None) => None,
    };
    Ok((layer, values))
}

fn describe(args: &MatrixArgs, layer: &Studied, out: &mut dyn Write) -> Result<()> {
    field(out, "layer", layer.in_words())?;
    field(out, "axes", layer.options_in_words())?;
    let (rows, columns) = shape(args, layer);
    let entries = layer.geometry.entries();
    let name = shown::name(layer, args.wrt == Variable::Weights);
    field(out, "matrix", format_args!("{name}, {}", matrix(rows, columns, entries)))?;
    let [dense, sparse] = [dense_bytes(rows, columns), csr_bytes(rows, entries)].map(bytes_in_words);
    field(out, "storage", format_args!("dense {dense}, CSR {sparse}"))?;
    Ok(())
}

fn shape(args: &MatrixArgs, layer: &Studied) -> (usize, usize) {
    let [inputs, outputs] =
        [layer.side, layer.side.other()].map(|side| layer.geometry.shape(side).iter().product::<usize>());
    match args.wrt {
        Variable::Input => (outputs, inputs),
        Variable::Weights => (outputs, layer.geometry.weight_shape().iter().product()),
    }
}

/// Bytes of a dense matrix in f64.
fn dense_bytes(rows: usize, columns: usize) -> u128 {
    (rows as u128).saturating_mul(columns as u128).saturating_mul(8)
}

/// Bytes of a sparse one in CSR form: a value and an index each, and the row offsets.
fn csr_bytes(rows: usize, entries: u128) -> u128 {
    entries.saturating_mul(16).saturating_add((rows as u128 + 1) * 8)
}

fn expect_bytes(what: &'static str, bytes: u128, limit: u128, instead: &'static str) -> Result<()> {
    if bytes <= limit {
        return Ok(());
    }
    Err(convmat::Error::MemoryLimit { what, bytes, limit, instead }.into())
}

/// Makes every file before it writes the first.
fn write(
    args: &MatrixArgs,
    outputs: &[(&PathBuf, Kind)],
    shown: &Shown,
    layer: &Studied,
    out: &mut dyn Write,
) -> Result<()> {
    let limit = args.memory_limit.0;
    let (rows, columns) = (shown.rows.len(), shown.columns.len());
    let mut csr = None;
    let mut ready = Vec::new();
    for &(path, kind) in outputs {
        let failed = |why: String| Failure::write(path, why);
        let (bytes, note) = match kind {
            Kind::Matrix(format) => {
                if format == Format::Npy {
                    expect_bytes("the dense matrix", dense_bytes(rows, columns), limit, ".npz")?;
                }
                expect_bytes("the sparse matrix", csr_bytes(rows, shown.entries), limit, "a smaller layer")?;
                let matrix: &CsMat<f64> = csr.get_or_insert_with(|| shown.csr());
                (format.bytes(matrix).map_err(failed)?, String::new())
            }
            Kind::Png => png::draw(&Panels::new(shown, args.with_transpose), limit)?,
            Kind::Svg => {
                let mut captions = vec![layer.in_words(), layer.options_in_words()];
                if args.with_transpose {
                    captions
                        .push("one colour per tap; the transpose has the same, rows and columns exchanged".to_owned());
                }
                captions.extend(args.permute.map(|_| "rows and columns by residue class".to_owned()));
                (svg::draw(&Panels::new(shown, args.with_transpose), &captions)?.into_bytes(), String::new())
            }
            Kind::Tex => (tex::text(shown, args.digits.into(), &layer.in_words())?.into_bytes(), String::new()),
        };
        ready.push((path, bytes, note));
    }
    for (i, (path, bytes, note)) in ready.iter().enumerate() {
        files::write(path, bytes, args.force)?;
        if i == 0 {
            writeln!(out)?;
        }
        field(out, "wrote", format_args!("{}{note}", path.display()))?;
    }
    Ok(())
}
