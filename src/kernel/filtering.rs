//! Minimal filtering: correlations with few taps by fewer multiplications than the definition has. It knows no layer.

mod transforms;
