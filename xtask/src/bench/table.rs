//! The table of all that was measured: ours beside theirs, and whether that is what is wanted.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::json;

/// One thing that was measured. Less is better in every row.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) work: String,
    /// What it is measured against.
    pub(super) against: &'static str,
    pub(super) ours: f64,
    pub(super) theirs: f64,
    /// What both are given in.
    pub(super) unit: &'static str,
    /// The ratio that has to be reached, and the one that is aimed at.
    pub(super) goal: Option<(f64, f64)>,
}

impl Row {
    fn ratio(&self) -> f64 {
        self.ours / self.theirs
    }

    fn verdict(&self) -> &'static str {
        match self.goal {
            None => "",
            Some((_, aim)) if self.ratio() <= aim => "met, and the aim",
            Some((floor, _)) if self.ratio() <= floor => "met",
            Some(_) => "not met",
        }
    }
}

/// The rows so far.
#[derive(Default)]
pub(super) struct Table {
    rows: Vec<Row>,
}

impl Table {
    /// Adds a row, and says so at once: a whole run takes long.
    pub(super) fn add(&mut self, row: Row) {
        println!("{}: {:.3} of {} {}", row.work, row.ratio(), row.against, row.verdict());
        self.rows.push(row);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The table as Markdown.
    pub(super) fn text(&self) -> String {
        let mut text = "| work | ours | against | theirs | ratio | floor | aim | |\n".to_owned();
        text += "|---|---|---|---|---|---|---|---|\n";
        for row in &self.rows {
            let goal = |goal: Option<f64>| goal.map_or(String::new(), |goal| format!("{goal}"));
            let Row { work, against, ours, theirs, unit, .. } = row;
            // Writing to a string can't fail.
            let _ = writeln!(
                text,
                "| {work} | {ours:.3} {unit} | {against} | {theirs:.3} {unit} | {:.3} | {} | {} | {} |",
                row.ratio(),
                goal(row.goal.map(|(floor, _)| floor)),
                goal(row.goal.map(|(_, aim)| aim)),
                row.verdict()
            );
        }
        text
    }

    /// Writes the rows as JSON.
    pub(super) fn write(&self, path: &Path) -> Result<()> {
        let rows = self.rows.iter().map(|row| {
            json!({
                "work": row.work, "against": row.against, "ours": row.ours, "theirs": row.theirs,
                "unit": row.unit, "ratio": row.ratio(), "floor": row.goal.map(|(floor, _)| floor),
                "aim": row.goal.map(|(_, aim)| aim),
                "met": row.goal.map(|(floor, _)| row.ratio() <= floor),
            })
        });
        let text = serde_json::to_string_pretty(&rows.collect::<Vec<_>>())?;
        fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))?;
        fs::write(path, text).with_context(|| path.display().to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_says_whether_its_floor_and_its_aim_are_met() {
        let row = |ours| Row {
            work: "a dump".to_owned(),
            against: "another",
            ours,
            theirs: 2.0,
            unit: "s",
            goal: Some((0.8, 0.6)),
        };
        let verdicts = [1.2, 1.6, 1.61].map(|ours| row(ours).verdict());
        assert_eq!(verdicts, ["met, and the aim", "met", "not met"]);
        let table = Table { rows: vec![row(1.0), Row { goal: None, ..row(1.0) }] };
        let line =
            "| a dump | 1.000 s | another | 2.000 s | 0.500 | 0.8 | 0.6 | met, and the aim |";
        assert_eq!(table.text().lines().nth(2), Some(line));
        assert!(table.text().ends_with("| 0.500 |  |  |  |\n"));
    }
}
