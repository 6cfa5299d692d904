//! The lowered formulation with either GEMM crate, beside the `gemm` crate's bare product of the same m, n and k.
//!
//! `measure/examples/gemm_rate.rs` compares the same three in turns for all layers of a file; here they are on record.

mod quick;

use convmat::{Formulation, FormulationOptions, GemmBackend, Workspace};
use convmat_measure::product::BareProduct;
use convmat_measure::{Workload, pool};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use quick::quick;

fn layers() -> [Workload; 4] {
    [
        Workload::square("conv 64, 56x56, 3x3", false, 4, [64, 64], [56, 3, 1, 1]),
        Workload::square("conv 256, 14x14, 3x3", false, 4, [256, 256], [14, 3, 1, 1]),
        Workload::square("transposed 256 to 128, 8x8, 4x4 stride 2", true, 8, [256, 128], [8, 4, 2, 1]),
        Workload::square("transposed 128 to 64, 98x98, 2x2 stride 2", true, 1, [128, 64], [98, 2, 2, 0]),
    ]
}

fn gemm(criterion: &mut Criterion) {
    for threads in [1, 2] {
        let pool = pool(threads).expect("a pool of one or two threads");
        for layer in layers() {
            let mut bare = BareProduct::new(&layer).expect("the layers are possible");
            let mut group = criterion.benchmark_group(format!("{}, {threads} thread(s)", layer.name));
            group.throughput(Throughput::Elements(bare.flops()));
            group.bench_function("bare product, Gemm", |b| pool.install(|| b.iter(|| bare.run())));
            let (from, to) = layer.sides();
            let x = layer.tensor(from, 1).expect("the layers are possible");
            let mut y = layer.tensor(to, 2).expect("the layers are possible");
            let mut workspace = Workspace::new();
            for &gemm in GemmBackend::ALL {
                let options = FormulationOptions::new().gemm(gemm);
                let weights = layer.weights(3).expect("the layers are possible");
                let (_, operator) =
                    layer.operator(weights, Formulation::Im2col, &options).expect("the layers are possible");
                group.bench_function(BenchmarkId::new("im2col", format!("{gemm:?}")), |b| {
                    pool.install(|| b.iter(|| operator.apply_into(x.view(), y.view_mut(), &mut workspace)));
                });
            }
            group.finish();
        }
    }
}

criterion_group! {
    name = benches;
    config = quick();
    targets = gemm
}
criterion_main!(benches);
