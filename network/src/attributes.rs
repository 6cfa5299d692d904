//! The attributes of a node: names with numbers, lists, texts and tensors, as files give them.

use std::collections::HashMap;

use crate::error::{Result, invalid};
use crate::tensor::Tensor;

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq)]
pub enum Attribute {
    /// A number with a fraction.
    Float(f32),
    /// A whole number.
    Integer(i64),
    /// A text.
    Text(String),
    /// A tensor.
    Tensor(Tensor),
    /// Numbers with a fraction.
    Floats(Vec<f32>),
    /// Whole numbers.
    Integers(Vec<i64>),
    /// Texts.
    Texts(Vec<String>),
}

/// All attributes of a node.
///
/// Every question names a value for an attribute that is absent, and refuses one of another type.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Attributes(HashMap<String, Attribute>);

macro_rules! question {
    ($(#[$doc:meta])* $name:ident, $variant:ident, $type:ty) => {
        $(#[$doc])*
        ///
        /// # Errors
        /// [`Error::Operator`](crate::Error::Operator) if the attribute is of another type.
        pub fn $name(&self, name: &str) -> Result<Option<&$type>> {
            match self.0.get(name) {
                None => Ok(None),
                Some(Attribute::$variant(value)) => Ok(Some(value)),
                Some(other) => Err(invalid!("attribute {name} is {other:?}")),
            }
        }
    };
}

impl Attributes {
    /// Adds an attribute, in place of one of the same name.
    pub fn insert(&mut self, name: impl Into<String>, attribute: Attribute) {
        self.0.insert(name.into(), attribute);
    }

    /// Whether there is one of this name.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// The names, in no order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    question!(
        /// A text.
        text, Text, String
    );
    question!(
        /// A tensor.
        tensor, Tensor, Tensor
    );
    question!(
        /// Whole numbers.
        integers, Integers, Vec<i64>
    );
    question!(
        /// Numbers with a fraction.
        floats, Floats, Vec<f32>
    );

    /// A whole number, or another one where there is none.
    ///
    /// # Errors
    /// [`Error::Operator`](crate::Error::Operator) if the attribute is of another type.
    pub fn integer_or(&self, name: &str, absent: i64) -> Result<i64> {
        match self.0.get(name) {
            None => Ok(absent),
            Some(Attribute::Integer(value)) => Ok(*value),
            Some(other) => Err(invalid!("attribute {name} is {other:?}, not an integer")),
        }
    }

    /// A number with a fraction, or another one where there is none.
    ///
    /// # Errors
    /// [`Error::Operator`](crate::Error::Operator) if the attribute is of another type.
    pub fn float_or(&self, name: &str, absent: f32) -> Result<f32> {
        match self.0.get(name) {
            None => Ok(absent),
            Some(Attribute::Float(value)) => Ok(*value),
            Some(other) => Err(invalid!("attribute {name} is {other:?}, not a float")),
        }
    }

    /// A text, or another one where there is none.
    ///
    /// # Errors
    /// [`Error::Operator`](crate::Error::Operator) if the attribute is of another type.
    pub fn text_or<'a>(&'a self, name: &str, absent: &'a str) -> Result<&'a str> {
        Ok(self.text(name)?.map_or(absent, String::as_str))
    }

    /// A switch, 0 or 1.
    ///
    /// # Errors
    /// [`Error::Operator`](crate::Error::Operator) for another number, or if the attribute is of another type.
    pub fn switch_or(&self, name: &str, absent: bool) -> Result<bool> {
        match self.integer_or(name, absent.into())? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(invalid!("attribute {name} is {other}, neither 0 nor 1")),
        }
    }
}
