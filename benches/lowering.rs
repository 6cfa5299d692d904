//! im2col and its adjoint col2im: bytes of column matrix per second, for the shapes that they meet.

mod quick;

use convmat::geometry::Side;
use convmat::matrix::{col2im, im2col};
use convmat_measure::{Workload, pool, random};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ndarray::Array3;
use quick::quick;

fn layers() -> [Workload; 4] {
    let mut dilated = Workload::square("3x3 dilation 2", false, 1, [64, 64], [56, 3, 1, 2]);
    dilated.options.dilation = [1, 2, 2];
    [
        Workload::square("3x3", false, 1, [64, 64], [56, 3, 1, 1]),
        Workload::square("4x4 stride 2", false, 1, [64, 64], [64, 4, 2, 1]),
        Workload::square("4x4 of a single pixel", false, 64, [64, 64], [4, 4, 1, 0]),
        dilated,
    ]
}

fn lowering(criterion: &mut Criterion) {
    for threads in [1, 2] {
        let pool = pool(threads).expect("a pool of one or two threads");
        for layer in layers() {
            let x = layer.tensor(Side::Large, 1).expect("the layers are possible");
            let columns = im2col(&x, layer.kernel, &layer.options).expect("the layers are possible");
            let sums = random(columns.len(), 2);
            let sums = Array3::from_shape_vec(columns.dim(), sums).expect("as long as its shape says");
            let mut group = criterion.benchmark_group(format!("lowering, {threads} thread(s)"));
            group.throughput(Throughput::Bytes((columns.len() * size_of::<f32>()) as u64));
            group.bench_function(BenchmarkId::new("im2col", &layer.name), |b| {
                pool.install(|| b.iter(|| im2col(&x, layer.kernel, &layer.options)));
            });
            group.bench_function(BenchmarkId::new("col2im", &layer.name), |b| {
                pool.install(|| b.iter(|| col2im(&sums, layer.input, layer.kernel, &layer.options)));
            });
            group.finish();
        }
    }
}

criterion_group! {
    name = benches;
    config = quick();
    targets = lowering
}
criterion_main!(benches);
