//! Every formulation in both directions, and the weight gradient, on three layers small enough for explicit matrices.

mod quick;

use convmat::geometry::Side;
use convmat::{Formulation, FormulationOptions, LinearOperator, Workspace, weight_gradient};
use convmat_measure::{Workload, pool};
use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use quick::quick;

fn layers() -> [Workload; 3] {
    let mut depthwise = Workload::square("depthwise 16, 4x4 stride 2", false, 8, [16, 16], [24, 4, 2, 1]);
    depthwise.options.groups = 16;
    [
        Workload::square("32 channels, 3x3", false, 8, [32, 32], [14, 3, 1, 1]),
        Workload::square("20 to 10 channels, 5x5 stride 3", true, 64, [20, 10], [6, 5, 3, 2]),
        depthwise,
    ]
}

fn formulations(criterion: &mut Criterion) {
    let pool = pool(1).expect("a pool of one thread");
    for layer in layers() {
        let geometry = layer.geometry().expect("the layers are possible");
        let weights = layer.weights(1).expect("the layers are possible");
        let mut large = layer.tensor(Side::Large, 2).expect("the layers are possible");
        let mut small = layer.tensor(Side::Small, 3).expect("the layers are possible");
        let mut gradient = weights.to_owned();
        let mut workspace = Workspace::new();
        let mut group = criterion.benchmark_group(&layer.name);
        // Useful operations, the same for all, so that their rates compare.
        group.sampling_mode(SamplingMode::Flat);
        group.throughput(Throughput::Elements(2 * geometry.entries() as u64 * layer.batch as u64));
        for &formulation in Formulation::ALL {
            let options = FormulationOptions::default();
            let (c, _) = layer.operator(weights.clone(), formulation, &options).expect("the layers are possible");
            let operator = c.formulate_with(formulation, &options).expect("the matrices are below the limit");
            group.bench_function(BenchmarkId::new("C", formulation), |b| {
                pool.install(|| b.iter(|| operator.apply_into(large.view(), small.view_mut(), &mut workspace)));
            });
            group.bench_function(BenchmarkId::new("C transposed", formulation), |b| {
                pool.install(|| b.iter(|| operator.apply_adjoint_into(small.view(), large.view_mut(), &mut workspace)));
            });
        }
        group.bench_function("weight gradient", |b| {
            pool.install(|| b.iter(|| weight_gradient(&geometry, large.view(), small.view(), gradient.view_mut())));
        });
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = quick();
    targets = formulations
}
criterion_main!(benches);
