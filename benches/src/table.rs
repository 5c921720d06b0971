//! Tables in Markdown.

pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(columns: &[&str]) -> Self {
        let rows = vec![columns.iter().map(|&column| column.to_owned()).collect()];
        Self { rows }
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Prints nothing if there is no row but the columns' names.
    pub(crate) fn print(&self) {
        if self.rows.len() == 1 {
            return;
        }
        for (number, row) in self.rows.iter().enumerate() {
            println!("| {} |", row.join(" | "));
            if number == 0 {
                println!("|{}", " --- |".repeat(row.len()));
            }
        }
        println!();
    }
}

/// A number of seconds in a unit that suits it.
pub(crate) fn time(seconds: f64) -> String {
    match seconds {
        _ if seconds < 1e-6 => format!("{:.1} ns", seconds * 1e9),
        _ if seconds < 1e-3 => format!("{:.1} µs", seconds * 1e6),
        _ if seconds < 1.0 => format!("{:.2} ms", seconds * 1e3),
        _ => format!("{seconds:.2} s"),
    }
}

/// A ratio with what is wanted of it, if anything.
pub(crate) fn ratio(found: f64, most: Option<f64>) -> String {
    match most {
        Some(most) if found <= most => format!("{found:.2} (wanted: ≤ {most:.2})"),
        Some(most) => format!("**{found:.2}** (wanted: ≤ {most:.2})"),
        None => format!("{found:.2}"),
    }
}
