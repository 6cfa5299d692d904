//! The formulations that can be measured: by name, and as methods of the shared measuring code. It measures nothing.

use convmat::{Accuracy, GemmBackend};

use super::record::{Candidate, Direction};
use crate::error::{Failure, Result};
use convmat_measure::method::{Method, Output};

/// Names that stand for several formulations.
const KINDS: [(&str, &[Candidate]); 3] = [
    ("direct", &[Candidate::Gather, Candidate::Scatter]),
    ("sparse", &[Candidate::SparseCsr, Candidate::SparseCsc, Candidate::TransposedCsr]),
    ("im2col", &[Candidate::Im2colGemm, Candidate::Im2colMatrixmultiply]),
];

/// The formulations of a list of names, each once and in their usual order: all whose sums are the definition's, if there is no list.
/// With another accuracy than strict the plan is made by it.
pub fn chosen(names: Option<&str>, accuracy: Accuracy) -> Result<Vec<Candidate>> {
    let mut chosen = match names {
        None => Candidate::ALL.into_iter().filter(|&candidate| candidate != Candidate::Filtered).collect(),
        Some(names) => named(names)?,
    };
    if accuracy != Accuracy::Strict {
        let planned = chosen.iter_mut().filter(|candidate| **candidate == Candidate::Planned);
        planned.for_each(|candidate| *candidate = Candidate::Filtered);
    }
    Ok(Candidate::ALL.into_iter().filter(|candidate| chosen.contains(candidate)).collect())
}

fn named(names: &str) -> Result<Vec<Candidate>> {
    let mut chosen = Vec::new();
    for name in names.split(',').map(str::trim) {
        match KINDS.iter().find(|(kind, _)| *kind == name) {
            Some((_, members)) => chosen.extend_from_slice(members),
            None => chosen.push(name.parse().map_err(|why| {
                let kinds = KINDS.map(|(kind, _)| kind).join(", ");
                Failure::Usage(format!("--formulations: {why}, and of a kind {kinds}"))
            })?),
        }
    }
    Ok(chosen)
}

/// The method by which a formulation computes an output, if it computes it.
pub fn method(candidate: Candidate, output: Output) -> Option<Method> {
    let method = match candidate {
        Candidate::Gather => Method::Gather,
        Candidate::Scatter => Method::Scatter,
        Candidate::Dense => Method::Dense(GemmBackend::Gemm),
        Candidate::SparseCsr if output == Output::Small => Method::Rows,
        Candidate::TransposedCsr if output == Output::Large => Method::Rows,
        Candidate::SparseCsr | Candidate::TransposedCsr => return None,
        Candidate::SparseCsc => Method::Columns,
        Candidate::Im2colGemm => Method::Lowered(GemmBackend::Gemm),
        Candidate::Im2colMatrixmultiply => Method::Lowered(GemmBackend::MatrixMultiply),
        Candidate::ZeroInsertion => Method::ZeroInsertion,
        Candidate::Planned => Method::Planned,
        Candidate::Filtered => Method::Filtered,
    };
    method.computes(output).then_some(method)
}

/// What a direction of a layer computes.
pub const fn output(transposed: bool, direction: Direction) -> Output {
    match (direction, transposed) {
        (Direction::WeightGradient, _) => Output::Weights,
        (Direction::Forward, false) | (Direction::Adjoint, true) => Output::Small,
        (Direction::Forward, true) | (Direction::Adjoint, false) => Output::Large,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_kinds_are_chosen_once_and_in_order() {
        let names =
            |text| chosen(Some(text), Accuracy::Strict).map(|list| list.iter().map(|c| c.name()).collect::<Vec<_>>());
        assert_eq!(
            names("planned, im2col,gather,im2col-gemm").expect("known"),
            ["gather", "im2col-gemm", "im2col-matrixmultiply", "planned"]
        );
        assert_eq!(names("filtered,planned").expect("known"), ["planned", "filtered"]);
        assert_eq!(chosen(None, Accuracy::Strict).expect("all"), Candidate::ALL[..10]);
        let fast = chosen(None, Accuracy::Fast).expect("all");
        assert_eq!((&fast[..9], fast[9]), (&Candidate::ALL[..9], Candidate::Filtered));
        assert_eq!(chosen(Some("planned,filtered"), Accuracy::Fast).expect("known"), [Candidate::Filtered]);
        for wrong in ["", "gather,", "im2row", "Gather"] {
            assert!(matches!(chosen(Some(wrong), Accuracy::Strict), Err(Failure::Usage(_))), "{wrong}");
        }
    }

    #[test]
    fn every_formulation_computes_some_output_and_every_output_has_some() {
        let outputs = [Output::Small, Output::Large, Output::Weights];
        for candidate in Candidate::ALL {
            assert!(outputs.iter().any(|&output| method(candidate, output).is_some()), "{candidate}");
        }
        let count = |output| Candidate::ALL.iter().filter(|&&candidate| method(candidate, output).is_some()).count();
        assert_eq!(outputs.map(count), [9, 10, 1]);
        assert_eq!(output(true, Direction::Forward), output(false, Direction::Adjoint));
    }
}
