//! Families of formulations: what they are called in sentences, and which formulations are forms of the same family.

use super::record::{Candidate, Record};

/// Formulations that differ only in what multiplies or in how the matrix is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    Direct,
    Dense,
    Sparse,
    Im2col,
    ZeroInsertion,
    Planned,
}

impl Family {
    pub const ALL: [Self; 6] =
        [Self::Direct, Self::Dense, Self::Sparse, Self::Im2col, Self::ZeroInsertion, Self::Planned];

    /// The families that are costly to build and cheap to apply.
    pub const MATRICES: [Self; 2] = [Self::Dense, Self::Sparse];

    /// The name, as the subject of a sentence.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Direct => "the direct sum",
            Self::Dense => "the dense matrix",
            Self::Sparse => "the sparse matrix",
            Self::Im2col => "im2col",
            Self::ZeroInsertion => "zero insertion",
            Self::Planned => "the plan",
        }
    }

    pub const fn of(candidate: Candidate) -> Self {
        match candidate {
            Candidate::Gather | Candidate::Scatter => Self::Direct,
            Candidate::Dense => Self::Dense,
            Candidate::SparseCsr | Candidate::SparseCsc | Candidate::TransposedCsr => Self::Sparse,
            Candidate::Im2colGemm | Candidate::Im2colMatrixmultiply => Self::Im2col,
            Candidate::ZeroInsertion => Self::ZeroInsertion,
            Candidate::Planned | Candidate::Filtered => Self::Planned,
        }
    }

    /// The fastest form of the family among the records of one problem: that of the least median, the first of equal
    /// ones.
    pub fn fastest<'a>(self, records: &[&'a Record]) -> Option<&'a Record> {
        let mut fastest: Option<(&'a Record, f64)> = None;
        for record in records.iter().filter(|record| Self::of(record.candidate) == self) {
            let Some(median) = record.measured().map(|measured| measured.run.median) else { continue };
            if fastest.is_none_or(|(_, least)| median < least) {
                fastest = Some((record, median));
            }
        }
        fastest.map(|(record, _)| record)
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::{Sample, run};
    use super::*;

    #[test]
    fn the_fastest_form_counts() {
        let run = run(
            None,
            &[
                Sample::new("a", 0.0).candidate(Candidate::Im2colGemm).run(2.0),
                Sample::new("a", 0.0).candidate(Candidate::Im2colMatrixmultiply).run(1.0),
                Sample::new("a", 0.0).candidate(Candidate::Dense).refused(None),
            ],
        );
        let problems = run.problems();
        let records = &problems[0].1;
        assert_eq!(
            Family::Im2col.fastest(records).map(|record| record.candidate),
            Some(Candidate::Im2colMatrixmultiply)
        );
        assert_eq!(Family::Dense.fastest(records), None);
        assert_eq!(Family::Planned.fastest(records), None);
    }
}
