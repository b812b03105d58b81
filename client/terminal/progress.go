package terminal

import (
	"fmt"
	"strings"
	"time"

	"golang.org/x/text/width"

	"chatbench/client"
)

// progressRows is how many downloads are shown at once; the others are counted.
const progressRows = 4

// drawProgress shows the progress of each download that has begun.
func (v *conversation) drawProgress() {
	var rows []string
	begun := 0
	for _, r := range v.requests {
		done, total, from, at := r.progress.Snapshot()
		if at.IsZero() {
			continue
		}
		if begun++; begun <= progressRows {
			rows = append(rows, progressRow(client.Safe([]byte(r.file)), done, total, from, time.Since(at)))
		}
	}
	if begun > progressRows {
		rows = append(rows, fmt.Sprintf("and %d more", begun-progressRows))
	}
	v.progress(rows)
}

// progressRow is one download: how much has come, how fast, and how much time is
// left. done includes the octets of an earlier try, from; the rate does not. A total
// of 0 is unknown.
func progressRow(file string, done, total, from int64, took time.Duration) string {
	perSecond := rate(done-from, took)
	if total <= 0 {
		return fmt.Sprintf("↓ %s of %s  %s/s", size(done), file, size(perSecond))
	}
	left := "?"
	if perSecond > 0 {
		left = (time.Duration(float64(total-done) / float64(perSecond) * float64(time.Second))).Round(time.Second).String()
	}
	return fmt.Sprintf("↓ %3d %% of %s  %s/s  %s left  %s", int(100*float64(done)/float64(total)), size(total), size(perSecond), left, file)
}

// rate is in octets a second.
func rate(octets int64, took time.Duration) int64 {
	return int64(float64(octets) / max(took, time.Millisecond).Seconds())
}

// size writes a number of octets for people, rounded.
func size(octets int64) string {
	if octets < 1000 {
		return fmt.Sprintf("%d B", octets)
	}
	f, unit := float64(octets), 0
	for ; f >= 999.5 && unit < 4; unit++ {
		f /= 1000
	}
	name := []string{"", "kB", "MB", "GB", "TB"}[unit]
	if f < 9.95 {
		return fmt.Sprintf("%.1f %s", f, name)
	}
	return fmt.Sprintf("%.0f %s", f, name)
}

// fitColumns cuts a text to n columns of a terminal.
func fitColumns(text string, n int) string {
	var b strings.Builder
	for _, r := range text {
		n--
		if k := width.LookupRune(r).Kind(); k == width.EastAsianWide || k == width.EastAsianFullwidth {
			n--
		}
		if n < 0 {
			break
		}
		b.WriteRune(r)
	}
	return b.String()
}
