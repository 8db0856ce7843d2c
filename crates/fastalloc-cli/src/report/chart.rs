//! The plots. Their colours are replaced by those of the page: see `style.css`.

use std::ops::Range;

use fastalloc_replay::{Candidate, Comparison};
use fastalloc_trace::{Pool, Usage, Verdict};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::replay::Curve;
use crate::text;

const INK: RGBColor = BLACK;
const GRID: RGBColor = RGBColor(0xE6, 0xE6, 0xE6);
const FILL: RGBColor = RGBColor(0x34, 0x78, 0xBE);
const MARK: RGBColor = RGBColor(0xD6, 0x45, 0x41);
const SIZE: (u32, u32) = (560, 260);
const LABEL: u32 = 13;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = Result<(), Box<dyn std::error::Error>>;

/// Objects that are alive over time, and the capacities that are advised.
pub(super) fn of_alive(usage: &Usage, verdict: &Verdict, span: u64) -> String {
    let interval = usage.timeline_interval as f64;
    let mut lines = Vec::new();
    if let Verdict::Pool(Pool { capacity, max_capacity, .. }) = verdict {
        lines.push((*capacity, "capacity"));
        lines.extend(max_capacity.map(|max| (max, "max_capacity")));
    }
    let top = lines.iter().map(|(slots, _)| *slots).chain([usage.alive_peak, 1]).max().unwrap_or(1);
    let end = (span as f64).max(interval).max(1.0);
    let steps = (usage.timeline.iter().enumerate()).flat_map(|(index, alive)| {
        let start = index as f64 * interval;
        [(start, *alive as f64), ((start + interval).min(end), *alive as f64)]
    });
    let steps: Vec<_> = steps.filter(|(time, _)| *time <= end).collect();
    draw(SIZE, |root| {
        let time = |time: &f64| text::duration(*time as u64);
        let mut chart = axes(root, 0.0..end, 0.0..top as f64 * 1.12, &time, &|alive| number(*alive))?;
        chart.draw_series(AreaSeries::new(steps, 0.0, FILL.mix(0.35)).border_style(FILL))?;
        for (slots, name) in lines {
            let y = slots as f64;
            chart.draw_series([PathElement::new([(0.0, y), (end, y)], MARK.stroke_width(2))])?;
            let label = Text::new(format!("{name} {slots}"), (end * 0.99, y), label(HPos::Right, VPos::Bottom, MARK));
            chart.draw_series([label])?;
        }
        Ok(())
    })
}

/// How many objects lived for how long.
pub(super) fn of_lifetimes(usage: &Usage, resolution: u64) -> String {
    let counts = &usage.lifetimes;
    let first = counts.iter().position(|count| *count > 0).unwrap_or(0).saturating_sub(1);
    let bars = &counts[first.min(counts.len())..];
    let most = bars.iter().copied().max().unwrap_or(0).max(1) as f64;
    let ends = usage.objects - usage.alive_at_end.min(usage.objects);
    draw(SIZE, |root| {
        let lower = |index: &f64| {
            let index = first + index.max(0.0) as usize;
            match index {
                0 => String::from("0"),
                index => text::duration(1 << (index - 1).min(63)),
            }
        };
        let mut chart = axes(root, 0.0..bars.len().max(2) as f64, 0.0..most * 1.12, &lower, &|count| number(*count))?;
        let bar = |(index, count): (usize, &u64)| {
            let x = index as f64;
            Rectangle::new([(x + 0.06, 0.0), (x + 0.94, *count as f64)], FILL.filled())
        };
        chart.draw_series(bars.iter().enumerate().map(bar))?;
        let mut note = match usage.alive_at_end {
            0 => String::new(),
            alive => format!("{alive} alive at the end. "),
        };
        if resolution > 1 && ends > 0 {
            note.push_str(&format!("The clock had steps of {}.", text::duration(resolution)));
        }
        let top = (bars.len().max(2) as f64 * 0.99, most * 1.1);
        chart.draw_series([Text::new(note, top, label(HPos::Right, VPos::Top, INK))])?;
        Ok(())
    })
}

/// Nanoseconds for a step, for each candidate.
pub(super) fn of_times(comparison: &Comparison) -> String {
    let rows = &comparison.rows;
    let each = |time: u64| time as f64 / comparison.steps.max(1) as f64;
    let most = rows.iter().map(|row| each(row.median())).fold(1e-3, f64::max);
    let height = rows.len() as u32 * 34 + 50;
    draw((900, height), |root| {
        let mut chart = ChartBuilder::on(root)
            .margin_right(70)
            .margin_top(5)
            .x_label_area_size(30)
            .y_label_area_size(100)
            .build_cartesian_2d(0.0..most * 1.05, rows.len() as f64..0.0)?;
        chart
            .configure_mesh()
            .disable_y_mesh()
            .disable_y_axis()
            .x_label_formatter(&|time| format!("{time:.0} ns"))
            .label_style(font(INK))
            .axis_style(GRID)
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID)
            .draw()?;
        for (line, row) in rows.iter().enumerate() {
            let y = line as f64 + 0.5;
            let color = if row.candidate == Candidate::Pools { MARK } else { FILL };
            let (min, median) = (each(row.min()), each(row.median()));
            chart.draw_series([Rectangle::new([(0.0, y - 0.32), (min, y + 0.32)], color.filled())])?;
            chart.draw_series([PathElement::new([(median, y - 0.4), (median, y + 0.4)], INK.stroke_width(2))])?;
            let (left, middle) = chart.backend_coord(&(0.0, y));
            root.draw(&Text::new(row.candidate.name(), (left - 8, middle), label(HPos::Right, VPos::Center, INK)))?;
            let (right, _) = chart.backend_coord(&(median.max(min), y));
            let figure = format!("{median:.1} ns");
            root.draw(&Text::new(figure, (right + 8, middle), label(HPos::Left, VPos::Center, INK)))?;
        }
        Ok(())
    })
}

/// The share of allocations that fail, by capacity.
pub(super) fn of_failures(curve: &Curve) -> String {
    let share = |failures: u64| 100.0 * failures as f64 / curve.objects.max(1) as f64;
    let points = curve.outcomes.iter().map(|outcome| (outcome.capacity as f64, share(outcome.failures))).collect();
    by_capacity(curve, points, &|share| format!("{share:.0} %"))
}

/// How often a pool grows, by capacity.
pub(super) fn of_growth(curve: &Curve) -> String {
    let points = curve.outcomes.iter().map(|outcome| (outcome.capacity as f64, outcome.steps as f64)).collect();
    by_capacity(curve, points, &|steps| number(*steps))
}

fn by_capacity(curve: &Curve, points: Vec<(f64, f64)>, value: &dyn Fn(&f64) -> String) -> String {
    let top = points.iter().map(|(_, value)| *value).fold(0.0, f64::max).max(1.0) * 1.12;
    let (Some((from, _)), Some((to, _))) = (points.first().copied(), points.last().copied()) else {
        return String::new();
    };
    let range = from..to.max(from + 1.0);
    draw(SIZE, |root| {
        let mut chart = ChartBuilder::on(root)
            .margin(10)
            .x_label_area_size(28)
            .y_label_area_size(60)
            .build_cartesian_2d(range.clone().log_scale(), 0.0..top)?;
        chart
            .configure_mesh()
            .x_labels(8)
            .y_labels(5)
            .x_label_formatter(&|capacity| number(*capacity))
            .y_label_formatter(&value)
            .label_style(font(INK))
            .axis_style(GRID)
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID)
            .draw()?;
        chart.draw_series(LineSeries::new(points.iter().copied(), FILL.stroke_width(2)))?;
        let capacity = curve.capacity as f64;
        if range.contains(&capacity) {
            chart.draw_series([PathElement::new([(capacity, 0.0), (capacity, top)], MARK.stroke_width(2))])?;
            let is_right = chart.backend_coord(&(capacity, 0.0)).0 > SIZE.0 as i32 / 2;
            let (side, text) = if is_right { (HPos::Right, "capacity ") } else { (HPos::Left, " capacity") };
            chart.draw_series([Text::new(text, (capacity, top * 0.98), label(side, VPos::Top, MARK))])?;
        }
        Ok(())
    })
}

type Axes<'a, 'c> = ChartContext<
    'c,
    SVGBackend<'a>,
    Cartesian2d<plotters::coord::types::RangedCoordf64, plotters::coord::types::RangedCoordf64>,
>;

fn axes<'a, 'c>(
    root: &'c Area<'a>,
    x: Range<f64>,
    y: Range<f64>,
    x_text: &dyn Fn(&f64) -> String,
    y_text: &dyn Fn(&f64) -> String,
) -> Result<Axes<'a, 'c>, Box<dyn std::error::Error>> {
    let mut chart =
        ChartBuilder::on(root).margin(10).x_label_area_size(28).y_label_area_size(60).build_cartesian_2d(x, y)?;
    chart
        .configure_mesh()
        .x_labels(6)
        .y_labels(5)
        .x_label_formatter(&x_text)
        .y_label_formatter(&y_text)
        .label_style(font(INK))
        .axis_style(GRID)
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID)
        .draw()?;
    Ok(chart)
}

/// Draws on nothing: the page has its own background.
fn draw(size: (u32, u32), marks: impl FnOnce(&Area<'_>) -> Drawn) -> String {
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        marks(&root).expect("a plot in a string");
        root.present().expect("a plot in a string");
    }
    svg
}

fn font(color: RGBColor) -> TextStyle<'static> {
    TextStyle { color: color.to_backend_color(), ..TextStyle::from(("sans-serif", LABEL)) }
}

fn label(horizontal: HPos, vertical: VPos, color: RGBColor) -> TextStyle<'static> {
    font(color).pos(Pos::new(horizontal, vertical))
}

/// A count, short.
fn number(value: f64) -> String {
    match value {
        value if value >= 1e7 => format!("{:.0} M", value / 1e6),
        value if value >= 1e6 => format!("{:.1} M", value / 1e6),
        value if value >= 1e4 => format!("{:.0} k", value / 1e3),
        value if value.fract() == 0.0 || value >= 10.0 => format!("{value:.0}"),
        value => format!("{value:.1}"),
    }
}
