package history

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"strconv"
	"time"

	"chatbench/core"
)

// maxLine is the longest line of a file, in octets: a text from a frame of core.LargestFrame grows
// to three times its length when it is made safe.
const maxLine = 4 * core.LargestFrame

// timeLayout is the layout of times.
const timeLayout = "2006-01-02T15:04:05.000Z"

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// appendLine appends a line in the form that a file has.
func appendLine(b []byte, line core.Line) []byte {
	body := line.At.UTC().AppendFormat(nil, timeLayout)
	body = append(append(body, ' '), line.Text...)
	body = append(strconv.AppendInt(nil, int64(len(body)), 10), append([]byte{' '}, body...)...)
	b = fmt.Appendf(b, "%08x ", crc32.Checksum(body, castagnoli))
	return append(append(b, body...), '\n')
}

// parse parses a line without its LF. good is false if the line does not agree with its crc and
// length.
func parse(b []byte) (line core.Line, good bool) {
	const sum = 8
	if len(b) <= sum || b[sum] != ' ' {
		return line, false
	}
	want, err := strconv.ParseUint(string(b[:sum]), 16, 32)
	if err != nil || uint32(want) != crc32.Checksum(b[sum+1:], castagnoli) {
		return line, false
	}
	length, body, found := bytes.Cut(b[sum+1:], []byte{' '})
	if n, err := strconv.Atoi(string(length)); err != nil || !found || n != len(body) {
		return line, false
	}
	at, text, found := bytes.Cut(body, []byte{' '})
	if line.At, err = time.Parse(timeLayout, string(at)); err != nil || !found || bytes.IndexByte(text, 0) >= 0 {
		return core.Line{}, false
	}
	line.Text = bytes.Clone(text)
	return line, true
}
