//! As SVG, with text that can be read on light and on dark ground.

use std::fmt::Write as _;

use shared_ring_messages::MeasureReport;

use crate::{percentile, rows, time};

const WIDTH: usize = 720;
const CHART: usize = 170;
const HEAD: usize = 50;
const LEFT: usize = 20;

/// Bars of a distribution.
const COLUMNS: usize = 48;

/// Some distributions under one heading, those of which there is no value left out.
#[must_use]
pub fn picture(title: &str, heading: &str, measures: &[MeasureReport]) -> String {
    let measured: Vec<_> = measures.iter().filter(|measure| measure.count > 0).collect();
    let height = HEAD + measured.len().max(1) * CHART;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" \
         role=\"img\">\n<title>{title}</title>\n\
         <style>text{{font:13px sans-serif;fill:#777}}.n{{font-weight:bold}}.b{{fill:#3b82c4}}.l{{stroke:#888}}</style>\n",
        title = escaped(title),
    );
    let _ = writeln!(svg, "<text class=\"n\" x=\"{LEFT}\" y=\"24\">{}</text>", escaped(heading));
    for (index, measure) in measured.iter().enumerate() {
        chart(&mut svg, measure, HEAD + index * CHART);
    }
    svg.push_str("</svg>\n");
    svg
}

/// One distribution: bars over a logarithm of time, as high as the logarithm of their count, so that single ones are seen.
fn chart(svg: &mut String, measure: &MeasureReport, top: usize) {
    let rows = rows(measure, COLUMNS);
    let most = rows.iter().map(|(_, count)| *count).max().unwrap_or(0);
    let height = |count: u64| {
        let levels = |count: u64| f64::from(64 - count.leading_zeros());
        90.0 * levels(count) / levels(most).max(1.0)
    };
    let ground = top + 120;
    let p99 = percentile(measure, 99_000).map_or_else(|| "-".to_owned(), time);
    let words = format!("{}: {} values, p99 {p99}, most {}", measure.name, measure.count, time(measure.most_ns));
    let _ = writeln!(svg, "<text class=\"n\" x=\"{LEFT}\" y=\"{}\">{}</text>", top + 16, escaped(&words));
    let step = (WIDTH - 2 * LEFT) / COLUMNS;
    for (index, (end_ns, count)) in rows.iter().enumerate() {
        let (x, high) = (LEFT + index * step, height(*count));
        let _ = writeln!(
            svg,
            "<rect class=\"b\" x=\"{x}\" y=\"{:.1}\" width=\"{}\" height=\"{high:.1}\"><title>up to {}: {count}</title></rect>",
            f64::from(u32::try_from(ground).unwrap_or(0)) - high,
            step - 2,
            time(*end_ns),
        );
    }
    let _ = writeln!(svg, "<line class=\"l\" x1=\"{LEFT}\" y1=\"{ground}\" x2=\"{}\" y2=\"{ground}\"/>", WIDTH - LEFT);
    for (index, (end_ns, _)) in rows.iter().enumerate().filter(|(index, _)| index % 8 == 0) {
        let _ = writeln!(svg, "<text x=\"{}\" y=\"{}\">{}</text>", LEFT + index * step, ground + 18, time(*end_ns));
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use crate::tests::measure;

    #[test]
    fn each_bar_says_what_it_is() {
        let svg = super::picture("title", "1 missed", &[measure(&[(1_023, 100), (900_000, 1)]), measure(&[])]);
        assert_eq!(svg.matches("<rect").count(), 2, "{svg}");
        assert!(svg.contains("<title>up to 900 us: 1</title>") && svg.contains("1 missed"), "{svg}");
        assert_eq!(svg.matches("<text").count(), svg.matches("</text>").count());
    }

    #[test]
    fn a_name_ends_no_tag() {
        let hostile = "</title><script>\"&";
        assert!(!super::picture(hostile, hostile, &[]).contains("<script>"));
    }
}
