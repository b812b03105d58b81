package history

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"strconv"
	"time"

	"chatbench/core"
)

// longest bounds a line of a file, in octets: a text from a frame of
// core.LargestFrame grows to three times its length when it is made safe.
const longest = 4 * core.LargestFrame

// timeForm is how times are written.
const timeForm = "2006-01-02T15:04:05.000Z"

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// appendLine appends a line as it stands in a file.
func appendLine(b []byte, line core.Line) []byte {
	body := line.At.UTC().AppendFormat(nil, timeForm)
	body = append(append(body, ' '), line.Text...)
	body = append(strconv.AppendInt(nil, int64(len(body)), 10), append([]byte{' '}, body...)...)
	b = fmt.Appendf(b, "%08x ", crc32.Checksum(body, castagnoli))
	return append(append(b, body...), '\n')
}

// parse reads a line, without its LF. It is false if the line is not as it was written.
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
	if line.At, err = time.Parse(timeForm, string(at)); err != nil || !found || bytes.IndexByte(text, 0) >= 0 {
		return core.Line{}, false
	}
	line.Text = bytes.Clone(text)
	return line, true
}
