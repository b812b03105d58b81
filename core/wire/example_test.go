package wire_test

import (
	"fmt"

	"chatbench/core/wire"
)

func ExampleDecoder() {
	var d wire.Decoder
	// Two reads: the second frame of the first one is cut in two.
	for _, in := range []string{"\x01bob secret\x00\x00hel", "lo\x00\x03\x00"} {
		for rest := []byte(in); ; {
			f, more, ok, err := d.Next(rest)
			if err != nil {
				fmt.Println(err)
				return
			}
			if !ok {
				break
			}
			fmt.Printf("type %d: %q\n", f.Type, f.Body)
			rest = more
		}
	}
	// Output:
	// type 1: "bob secret"
	// type 0: "hello"
	// type 3: ""
}

func ExampleAppendSafe() {
	fmt.Printf("%s\n", wire.AppendSafe(nil, []byte("hi\nserver: you won \x1b[5m한글")))
	// Output: hi␤server: you won �[5m한글
}
