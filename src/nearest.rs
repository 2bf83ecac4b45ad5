//! "Did you mean": the known name nearest to one that is not known, for catalogue, settings and arguments alike.

/// The candidate closest to `name`, if one is close enough to be a slip of the pen rather than another word.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_ascii_lowercase();
    let length = name.chars().count();
    let tolerance = (length / 3).max(1);
    candidates
        .into_iter()
        // A longer difference cannot be a near name; comparing costs length × length.
        .filter(|candidate| candidate.chars().count().abs_diff(length) <= tolerance)
        .map(|candidate| {
            let distance = strsim::damerau_levenshtein(&name, &candidate.to_ascii_lowercase());
            (distance, candidate)
        })
        .filter(|(distance, _)| *distance <= tolerance)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_slip_finds_its_name() {
        assert_eq!(nearest("gett", ["list", "get", "patch"]), Some("get"));
        assert_eq!(nearest("dueDate", ["due_date", "title"]), Some("due_date"));
    }

    #[test]
    fn another_word_finds_nothing() {
        assert_eq!(nearest("colour", ["title", "content"]), None);
    }
}
