//! What the rounds of one figure amount to, and how numbers are printed.

/// Median, lowest and highest of all rounds.
#[derive(Clone, Copy, Debug)]
pub struct Spread {
    /// What counts.
    pub median: f64,
    /// The lowest.
    pub low: f64,
    /// The highest.
    pub high: f64,
}

impl Spread {
    /// Of one value a round; without any, of something that is not a number and meets no budget.
    pub fn of(values: impl Iterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
        let last = values.len().saturating_sub(1);
        Self {
            median: f64::midpoint(at(last / 2), at(values.len() / 2)),
            low: at(0),
            high: at(last),
        }
    }

    /// Of something that is measured once.
    pub fn one(value: f64) -> Self {
        Self {
            median: value,
            low: value,
            high: value,
        }
    }

    /// `5 (4–6)`; `5` of something that is measured once; `-` of nothing.
    pub fn text(self) -> String {
        let Self { median, low, high } = self;
        if low.total_cmp(&high).is_eq() {
            return number(median);
        }
        format!("{} ({}–{})", number(median), number(low), number(high))
    }
}

/// Three digits, or all before the point; `-` for what is no number.
pub fn number(value: f64) -> String {
    if value.is_nan() {
        return "-".to_owned();
    }
    let digits = match value.abs() {
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        _ => 2,
    };
    let text = format!("{value:.digits$}");
    match text.trim_end_matches('0').strip_suffix('.') {
        Some(whole) => whole.to_owned(),
        None => text,
    }
}
