//! Bar charts as SVG, written by hand: a panel per workload, a bar per peer, the figure at its end.
//!
//! A panel whose figures lie more than [`LINEAR_RATIO_MAX`] apart has a logarithmic scale and says so; on a linear one
//! the small bars could not be told from nothing.

use super::Report;
use crate::catalogue::{Group, Workload};
use crate::peer::Kind;
use std::fmt::Write;

const PANEL_WIDTH: f64 = 560.0;
const PANEL_GAP: f64 = 28.0;
const COLUMNS: usize = 2;
const MARGIN: f64 = 20.0;
const HEADING_HEIGHT: f64 = 44.0;
const TITLE_HEIGHT: f64 = 24.0;
const BAR_HEIGHT: f64 = 15.0;
const BAR_STEP: f64 = 20.0;
const NAME_WIDTH: f64 = 86.0;
const FIGURE_WIDTH: f64 = 70.0;
const LINEAR_RATIO_MAX: f64 = 20.0;

const INK: &str = "#22262b";
const FAINT_INK: &str = "#6b7280";
const TARGET: &str = "#111111";

fn colour(kind: Kind) -> &'static str {
    match kind {
        Kind::Subject => "#c8402f",
        Kind::Database => "#3b6fa0",
        Kind::Map | Kind::Disk => "#9aa5b1",
    }
}

/// One bar.
struct Bar {
    name: &'static str,
    kind: Kind,
    figure: f64,
}

/// Maps figures to lengths.
struct Scale {
    logarithmic: bool,
    low: f64,
    high: f64,
}

impl Scale {
    fn of(figures: impl Iterator<Item = f64> + Clone) -> Self {
        let high = figures.clone().fold(f64::MIN_POSITIVE, f64::max);
        let low = figures.filter(|figure| *figure > 0.0).fold(high, f64::min);
        Scale { logarithmic: high / low > LINEAR_RATIO_MAX, low, high }
    }

    /// The share of the full width.
    fn length(&self, figure: f64) -> f64 {
        let share = if self.logarithmic {
            // The smallest bar keeps some length: the axis begins at half of its figure.
            let origin = self.low / 2.0;
            (figure.max(origin) / origin).ln() / (self.high / origin).ln()
        } else {
            figure / self.high
        };
        share.clamp(0.0, 1.0)
    }
}

/// The chart of a group.
pub(super) fn group(report: &Report<'_>, group: Group) -> String {
    let panels: Vec<(&Workload, Vec<Bar>)> =
        report.measured(group).map(|workload| (workload, bars(report, workload))).collect();
    let mut heights = vec![0.0; panels.len().div_ceil(COLUMNS)];
    for (position, (_, bars)) in panels.iter().enumerate() {
        let height = TITLE_HEIGHT + BAR_STEP * bars.len() as f64 + PANEL_GAP;
        heights[position / COLUMNS] = f64::max(heights[position / COLUMNS], height);
    }
    let columns = panels.len().clamp(1, COLUMNS) as f64;
    let width = 2.0 * MARGIN + PANEL_WIDTH * columns + PANEL_GAP * (columns - 1.0);
    let height = MARGIN + HEADING_HEIGHT + heights.iter().sum::<f64>();
    let mut svg = String::new();
    open(&mut svg, width, height);
    let heading = format!("{}, {} rows", group.title(), report.settings.rows);
    text(&mut svg, MARGIN, MARGIN + 12.0, &heading, "font-size=\"16\" font-weight=\"600\"", INK);
    let legend = "red: Folio · blue: databases · grey: plain maps and the disk · mark: what Folio has to reach";
    text(&mut svg, MARGIN, MARGIN + 30.0, legend, "font-size=\"11\"", FAINT_INK);
    let mut y = MARGIN + HEADING_HEIGHT;
    for (row, height) in heights.iter().enumerate() {
        for (column, (workload, bars)) in panels.iter().skip(row * COLUMNS).take(COLUMNS).enumerate() {
            let x = MARGIN + column as f64 * (PANEL_WIDTH + PANEL_GAP);
            panel(&mut svg, x, y, workload, bars, workload.target(report.settings.rows));
        }
        y += height;
    }
    svg.push_str("</svg>\n");
    svg
}

fn bars(report: &Report<'_>, workload: &Workload) -> Vec<Bar> {
    let peers = report.peers.iter();
    peers
        .filter_map(|peer| {
            let figure = report.figure(workload, peer.name())?;
            Some(Bar { name: peer.name(), kind: peer.kind(), figure })
        })
        .collect()
}

fn panel(svg: &mut String, x: f64, y: f64, workload: &Workload, bars: &[Bar], target: Option<f64>) {
    let scale = Scale::of(bars.iter().map(|bar| bar.figure).chain(target));
    let better = if workload.unit.more_is_better() { "longer is better" } else { "shorter is better" };
    let note = if scale.logarithmic { format!("{better}, log scale") } else { better.to_owned() };
    text(svg, x, y + 12.0, workload.title, "font-size=\"12\" font-weight=\"600\"", INK);
    text(svg, x + PANEL_WIDTH, y + 12.0, &note, "font-size=\"10\" text-anchor=\"end\"", FAINT_INK);
    let bar_x = x + NAME_WIDTH;
    let full = PANEL_WIDTH - NAME_WIDTH - FIGURE_WIDTH;
    let top = y + TITLE_HEIGHT;
    for (position, bar) in bars.iter().enumerate() {
        let bar_y = top + BAR_STEP * position as f64;
        let baseline = bar_y + BAR_HEIGHT - 3.5;
        let length = f64::max(full * scale.length(bar.figure), 1.0);
        let weight = if bar.kind == Kind::Subject { " font-weight=\"600\"" } else { "" };
        let style = format!("font-size=\"11\" text-anchor=\"end\"{weight}");
        text(svg, bar_x - 6.0, baseline, bar.name, &style, INK);
        rectangle(svg, bar_x, bar_y, length, BAR_HEIGHT, colour(bar.kind));
        let figure = workload.unit.show(bar.figure);
        text(svg, bar_x + length + 5.0, baseline, &figure, &format!("font-size=\"11\"{weight}"), INK);
    }
    if let Some(target) = target {
        let target_x = bar_x + full * scale.length(target);
        rectangle(svg, target_x - 0.75, top - 3.0, 1.5, BAR_STEP * bars.len() as f64 + 2.0, TARGET);
    }
}

// Writing to a string cannot fail, so the three below have no error to pass on.

fn open(svg: &mut String, width: f64, height: f64) {
    let _ = writeln!(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
         viewBox=\"0 0 {width:.0} {height:.0}\" font-family=\"system-ui, -apple-system, 'Segoe UI', sans-serif\">"
    );
    rectangle(svg, 0.0, 0.0, width, height, "#ffffff");
}

fn rectangle(svg: &mut String, x: f64, y: f64, width: f64, height: f64, colour: &str) {
    let _ = writeln!(
        svg,
        "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" fill=\"{colour}\"/>"
    );
}

fn text(svg: &mut String, x: f64, y: f64, content: &str, style: &str, colour: &str) {
    let content = content.replace('&', "&amp;").replace('<', "&lt;");
    let _ = writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" {style} fill=\"{colour}\">{content}</text>");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn close_figures_are_drawn_to_scale() {
        let scale = Scale::of([10.0, 40.0].into_iter());
        assert!(!scale.logarithmic);
        assert_eq!((scale.length(10.0), scale.length(40.0)), (0.25, 1.0));
    }

    #[test]
    fn distant_figures_keep_their_order_and_are_all_seen() {
        let scale = Scale::of([10.0, 1_000.0, 100_000.0].into_iter());
        assert!(scale.logarithmic);
        let lengths = [10.0, 1_000.0, 100_000.0].map(|figure| scale.length(figure));
        assert!(lengths[0] > 0.05 && lengths[0] < lengths[1] && lengths[1] < lengths[2]);
    }
}
