//! Reads the merged layers key by key and keeps every problem instead of stopping at the first. `None` from a read
//! means: not set, or wrong and already among the problems.

use std::{ops::RangeInclusive, time::Duration};

use figment::value::Value;

use super::{
    keys::Key,
    layers::Layers,
    parse,
    problem::{Origin, Problem, Wrong},
};

/// Layers and what is wrong with them so far.
pub(super) struct Reader {
    pub(super) layers: Layers,
    pub(super) problems: Vec<Problem>,
}

impl Reader {
    /// A value written as text. A number or a boolean of a file is refused, not turned into text: `007` would be `7`.
    pub(super) fn text<T>(
        &mut self,
        key: &Key,
        parse: impl Fn(&str) -> Result<T, Wrong>,
    ) -> Option<T> {
        let (value, origin) = self.layers.find(key)?;
        let parsed = match value.as_str() {
            Some(text) => parse(text),
            None => Err(Wrong::new("it is not text", "put it in double quotes")),
        };
        self.keep(key, origin, parsed)
    }

    /// A value that a file may also write as number or boolean.
    pub(super) fn scalar<T>(
        &mut self,
        key: &Key,
        parse: impl Fn(&str) -> Result<T, Wrong>,
    ) -> Option<T> {
        let (value, origin) = self.layers.find(key)?;
        let text = match &value {
            Value::String(_, text) => Some(text.clone()),
            Value::Bool(_, flag) => Some(flag.to_string()),
            Value::Num(_, number) => {
                let whole = number.to_i128().map(|number| number.to_string());
                whole.or_else(|| number.to_f64().map(|number| number.to_string()))
            }
            Value::Char(..) | Value::Empty(..) | Value::Dict(..) | Value::Array(..) => None,
        };
        let parsed = match text {
            Some(text) => parse(&text),
            None => Err(Wrong::new(
                "it is neither text, a number nor a boolean",
                "write it as the example file does",
            )),
        };
        self.keep(key, origin, parsed)
    }

    /// Several texts: an array in a file, or one text with commas. All wrong ones are reported.
    pub(super) fn list<T>(
        &mut self,
        key: &Key,
        parse: impl Fn(&str) -> Result<T, Wrong>,
    ) -> Option<Vec<T>> {
        let (value, origin) = self.layers.find(key)?;
        let Some(texts) = texts(&value) else {
            let wrong = Wrong::new(
                "it is not a list of texts",
                "write it like `[\"one\", \"two\"]`",
            );
            return self.keep(key, origin, Err(wrong));
        };
        let parsed: Vec<_> = texts
            .iter()
            .map(|text| self.keep(key, origin.clone(), parse(text)))
            .collect();
        parsed.into_iter().collect()
    }

    /// A boolean.
    pub(super) fn boolean(&mut self, key: &Key) -> Option<bool> {
        self.scalar(key, parse::boolean)
    }

    /// A duration within bounds.
    pub(super) fn duration(
        &mut self,
        key: &Key,
        bounds: RangeInclusive<Duration>,
    ) -> Option<Duration> {
        self.scalar(key, |text| {
            parse::duration(text, *bounds.start(), *bounds.end())
        })
    }

    /// A text that was read already, for a rule between settings: what is wrong with it is not said twice.
    pub(super) fn text_again<T>(
        &self,
        key: &Key,
        parse: impl Fn(&str) -> Result<T, Wrong>,
    ) -> Option<T> {
        let (value, _) = self.layers.find(key)?;
        parse(value.as_str()?).ok()
    }

    /// Whether any layer sets the key, rightly or wrongly.
    pub(super) fn is_set(&self, key: &Key) -> bool {
        self.layers.find(key).is_some()
    }

    /// Where the key's value comes from.
    pub(super) fn origin(&self, key: &Key) -> Origin {
        let found = self.layers.find(key);
        found.map_or(Origin::Unset, |(_, origin)| origin)
    }

    /// Whether nobody sets the key.
    pub(super) fn is_default(&self, key: &Key) -> bool {
        matches!(self.origin(key), Origin::Default | Origin::Unset)
    }

    /// Refuses a setting that is well formed but not allowed, or missing.
    pub(super) fn refuse(&mut self, key: &Key, what: impl Into<String>, hint: impl Into<String>) {
        let origin = self.origin(key);
        self.keep::<()>(key, origin, Err(Wrong::new(what, hint)));
    }

    fn keep<T>(&mut self, key: &Key, origin: Origin, parsed: Result<T, Wrong>) -> Option<T> {
        match parsed {
            Ok(value) => Some(value),
            Err(Wrong { what, hint }) => {
                let setting = key.name.clone().into_owned();
                self.problems.push(Problem {
                    setting,
                    origin,
                    what,
                    hint,
                });
                None
            }
        }
    }
}

fn texts(value: &Value) -> Option<Vec<&str>> {
    match value {
        Value::String(_, text) => {
            let parts = text.split(',').map(str::trim);
            Some(parts.filter(|part| !part.is_empty()).collect())
        }
        Value::Array(_, items) => items.iter().map(Value::as_str).collect(),
        Value::Char(..) | Value::Bool(..) | Value::Num(..) | Value::Empty(..) | Value::Dict(..) => {
            None
        }
    }
}
