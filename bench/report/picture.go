package report

import (
	"fmt"

	"chatbench/bench/plot"
)

// The measures of a picture, in its own pixels.
const (
	pictureWidth   = 860.0
	pictureMargin  = 16.0
	panelGap       = 28.0
	panelHead      = 44.0 // title and subtitle
	pictureRow     = 21.0
	pictureName    = 100.0
	pictureFigures = 118.0 // of the column behind the bars
)

// Picture is the rankings of the run as one SVG file that needs no page around it,
// light or dark as its reader's screen is: a panel for each load that has a ranking,
// two panels next to each other. It is empty if there is no ranking.
func (s *Summary) Picture() []byte {
	var panels []*LoadSummary
	rows := 0
	for i := range s.Loads {
		if l := &s.Loads[i]; l.Ranking != nil {
			panels, rows = append(panels, l), max(rows, len(l.Ranking.Rows))
		}
	}
	across := min(2, len(panels))
	if across == 0 {
		return nil
	}
	width := (pictureWidth - 2*pictureMargin - float64(across-1)*panelGap) / float64(across)
	height := panelHead + float64(rows)*pictureRow + pictureMargin
	down := (len(panels) + across - 1) / across
	total := float64(down)*height + pictureMargin + 22
	d := plot.New(pictureWidth, total, s.pictureSays(panels))
	d.Rect(0, 0, pictureWidth, total, "paper", "")
	for i, l := range panels {
		l.panel(d, pictureMargin+float64(i%across)*(width+panelGap), pictureMargin+float64(i/across)*height, width)
	}
	d.Text(pictureMargin, total-12, plot.Start, "soft", "× the least, with its 95 % interval. "+sharing+" Grey: at most so much, for the server used all of its CPU.")
	return d.File(asset("picture.css"))
}

// pictureSays is a sentence that describes the picture.
func (s *Summary) pictureSays(panels []*LoadSummary) string {
	text := s.Name + "."
	for _, l := range panels {
		r := l.Ranking
		text += fmt.Sprintf(" %s %s, the least first:", r.Title, l.short())
		for i, row := range r.Rows {
			if i > 0 {
				text += ","
			}
			text += " " + row.Arm + " " + row.Text
		}
		text += "."
	}
	return text
}

// panel draws the ranking of a load, with its upper left corner at x and y.
func (l *LoadSummary) panel(d *plot.Drawing, x, y, width float64) {
	r := l.Ranking
	d.Text(x, y+14, plot.Start, "strong", r.Title+", "+l.short())
	d.Text(x, y+30, plot.Start, "soft", l.unit(find(r.Figure))+", the least first")
	right := x + width - pictureFigures
	most := 1.0
	for _, row := range r.Rows {
		if row.ToBest != nil {
			most = max(most, row.ToBest.Ratio, row.ToBest.High)
		}
	}
	scale := plot.Axis{Low: 0, High: most, From: x + pictureName, To: right - 16}
	for i, row := range r.Rows {
		row.bar(d, scale, x, y+panelHead+(float64(i)+0.5)*pictureRow, x+width)
	}
	d.Line(scale.At(0), y+panelHead, scale.At(0), y+panelHead+float64(len(r.Rows))*pictureRow, "axis")
}

// bar draws a row of the ranking, centred at y, with its letters on the right.
func (row *RankRow) bar(d *plot.Drawing, scale plot.Axis, x, y, right float64) {
	d.Name(x+pictureName-8, y+4, pictureName-8, plot.End, "name", row.Arm)
	ratio := row.ToBest
	if ratio == nil && row.Rank == 1 { // the best itself
		ratio = &Ratio{Ratio: 1}
	}
	figures := scale.To + 16
	if ratio == nil {
		d.Text(figures, y+4, plot.Start, "soft", row.Note)
		return
	}
	class := "bar"
	if row.AtMost {
		class = "bar bound"
	}
	d.Rect(scale.At(0), y-6, scale.At(ratio.Ratio)-scale.At(0), 12, class, row.Arm+": "+row.Text+" "+row.ToBest.text(row.AtMost, true))
	if ratio.Low > 0 {
		d.Line(scale.At(ratio.Low), y, scale.At(ratio.High), y, "whisker")
	}
	d.Text(figures+42, y+4, plot.End, "figure", row.Text)
	if row.ToBest != nil {
		d.Text(figures+50, y+4, plot.Start, "soft", "×"+digits(ratio.Ratio))
	}
	d.Text(right, y+4, plot.End, "soft", compact(row.Letters))
}
