//! The explicit sparse matrix: how fast it is built, and its product with a batch of 16 beside sprs's own.
//!
//! The matrix is that of a convolution of 16 to 16 channels of 56×56 pixels, 3×3, padding 1: 7.05 million nonzeros.

mod quick;

use std::time::Duration;

use convmat::geometry::Side;
use convmat::{Formulation, FormulationOptions, LinearOperator, Workspace};
use convmat_measure::{Workload, pool, random};
use criterion::{Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use ndarray::Array2;
use quick::quick;
use sprs::prod::csr_mulacc_dense_rowmaj;

const BATCH: usize = 16;
const LIMIT: u128 = 1 << 30;

fn layer() -> Workload {
    Workload::square("16 channels, 56x56, 3x3", false, BATCH, [16, 16], [56, 3, 1, 1])
}

fn build(criterion: &mut Criterion) {
    let (layer, options) = (layer(), FormulationOptions::default());
    let weights = layer.weights(1).expect("the layer is possible");
    let (c, _) = layer.operator(weights, Formulation::Im2col, &options).expect("the layer is possible");
    let mut group = criterion.benchmark_group("sparse build");
    group.sampling_mode(SamplingMode::Flat);
    group.throughput(Throughput::Elements((c.flops() / 2) as u64));
    let pool = pool(1).expect("a pool of one thread");
    group.bench_function("csr", |b| pool.install(|| b.iter(|| c.csr(LIMIT))));
    group.finish();
}

fn product(criterion: &mut Criterion) {
    let (layer, options) = (layer(), FormulationOptions::default());
    let weights = layer.weights(1).expect("the layer is possible");
    let (c, ours) = layer.operator(weights, Formulation::Sparse, &options).expect("the matrix is below the limit");
    let matrix = c.csr(LIMIT).expect("the matrix is below the limit");
    let x = layer.tensor(Side::Large, 2).expect("the layer is possible");
    let mut y = layer.tensor(Side::Small, 3).expect("the layer is possible");
    let mut workspace = Workspace::new();

    let mut group = criterion.benchmark_group("sparse product, batch 16");
    group.sampling_mode(SamplingMode::Flat);
    group.throughput(Throughput::Elements((matrix.nnz() * BATCH) as u64));
    // sprs has its operands as it likes them, a row per column of the matrix, and is spared from clearing its result.
    let columns = Array2::from_shape_vec((matrix.cols(), BATCH), random(matrix.cols() * BATCH, 2));
    let columns = columns.expect("as long as its shape says");
    let mut result = Array2::<f32>::zeros((matrix.rows(), BATCH));
    group.bench_function("sprs, 1 thread", |b| {
        b.iter(|| csr_mulacc_dense_rowmaj(matrix.view(), columns.view(), result.view_mut()));
    });
    for threads in [1, 2] {
        let pool = pool(threads).expect("a pool of one or two threads");
        group.bench_function(format!("convmat, {threads} thread(s)"), |b| {
            pool.install(|| b.iter(|| ours.apply_into(x.view(), y.view_mut(), &mut workspace)));
        });
        group.bench_function(format!("convmat transposed, {threads} thread(s)"), |b| {
            let (mut x, y) = (x.clone(), y.clone());
            pool.install(|| b.iter(|| ours.apply_adjoint_into(y.view(), x.view_mut(), &mut workspace)));
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = quick().measurement_time(Duration::from_secs(2));
    targets = build, product
}
criterion_main!(benches);
