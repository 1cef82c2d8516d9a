//! Which of the known names somebody meant who wrote another.

/// The known name that `name` comes from with the fewest letters changed, if they are few.
pub(super) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let most = 1 + name.chars().count() / 4;
    known
        .map(|other| (distance(name, other), other))
        .filter(|(far, _)| *far <= most)
        .min()
        .map(|(_, other)| other)
}

/// Letters put in, taken out or changed from `a` to `b` (Levenshtein 1966).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut corner = i;
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let changed = corner + usize::from(x != *y);
            corner = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(corner + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_keys_is_understood_and_another_word_is_not() {
        let known = ["lr", "epochs", "head-lr", "head-views"];
        let meant = |name| nearest(name, known.into_iter());
        assert_eq!(meant("head_lr"), Some("head-lr"));
        assert_eq!(meant("epoch"), Some("epochs"));
        assert_eq!(meant("warm"), None);
        assert_eq!((distance("kitten", "sitting"), distance("", "ab")), (3, 2));
    }
}
