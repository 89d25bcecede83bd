//! The word somebody probably meant, for errors that name their remedy.

/// The candidate most like `word`, when one is like it at all.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    near(word, candidates, 1).pop()
}

/// The candidates like `word`, at most `most`, the most alike first.
pub fn near<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
    most: usize,
) -> Vec<&'a str> {
    /// Jaro-Winkler similarity from which two words look alike to a reader.
    const SIMILAR: f64 = 0.8;
    let mut alike: Vec<(usize, f64, &str)> = candidates
        .into_iter()
        .map(|candidate| {
            // Letters swapped, missing or doubled: one such slip counts even in a short word.
            let slips = strsim::damerau_levenshtein(word, candidate);
            (slips, strsim::jaro_winkler(word, candidate), candidate)
        })
        .filter(|(slips, similarity, _)| *slips <= 1 || *similarity >= SIMILAR)
        .collect();
    alike.sort_by(|a, b| a.0.cmp(&b.0).then(b.1.total_cmp(&a.1)));
    alike.truncate(most);
    alike
        .into_iter()
        .map(|(_, _, candidate)| candidate)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_finds_its_word_and_nonsense_finds_none() {
        let words = ["listen", "commit_interval", "sync_interval", "path"];
        assert_eq!(nearest("lissten", words), Some("listen"));
        assert_eq!(nearest("ulr", ["id", "url"]), Some("url"));
        assert_eq!(nearest("commit-interval", words), Some("commit_interval"));
        assert_eq!(nearest("zzz", words), None);
    }

    #[test]
    fn the_most_alike_come_first() {
        let words = [
            "Europe/Bern",
            "Asia/Tokyo",
            "Europe/Berlin",
            "Europe/Merlin",
        ];
        let alike = near("Europe/Berlim", words, 2);
        assert_eq!(alike, ["Europe/Berlin", "Europe/Merlin"]);
    }
}
