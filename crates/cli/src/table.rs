//! Prints aligned columns.

use crate::output::printable;

/// Rows under their headings. Columns are separated by two blanks, and lines have no trailing blanks.
pub fn render(headings: Option<&[&str]>, rows: &[Vec<String>]) -> String {
    let headings: Option<Vec<String>> = headings.map(|all| all.iter().map(|it| (*it).to_owned()).collect());
    let lines: Vec<Vec<String>> = headings.into_iter().chain(rows.iter().cloned()).map(one_line_cells).collect();
    let columns = lines.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| lines.iter().filter_map(|line| line.get(column)).map(|it| it.chars().count()).max();
    let widths: Vec<_> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let mut out = String::new();
    for line in &lines {
        let cells = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        out.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        out.push('\n');
    }
    out
}

/// Escapes cells and replaces line breaks.
fn one_line_cells(cells: Vec<String>) -> Vec<String> {
    cells.iter().map(|cell| printable(cell).replace(['\n', '\t'], " ")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(all: &[&[&str]]) -> Vec<Vec<String>> {
        all.iter().map(|row| row.iter().map(|it| (*it).to_owned()).collect()).collect()
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let table = render(Some(&["ID", "Name"]), &rows(&[&["1", "wäb"], &["1000", ""]]));
        assert_eq!(table, "ID    Name\n1     wäb\n1000\n");
    }

    #[test]
    fn headings_can_be_left_out() {
        assert_eq!(render(None, &rows(&[&["a", "b"]])), "a  b\n");
        assert_eq!(render(None, &[]), "");
    }

    #[test]
    fn a_line_break_in_a_cell_does_not_break_the_row() {
        assert_eq!(render(None, &rows(&[&["a\nb\x1b[2J", "c"]])), "a b\\u{1b}[2J  c\n");
    }
}
