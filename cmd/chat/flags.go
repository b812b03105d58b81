package main

import (
	"context"
	"errors"
	"flag"
	"os"

	"chatbench/client/downloads"
	"chatbench/client/share"
	"chatbench/client/terminal"
	"chatbench/client/transfer"
)

// paths are the directories that files come from and go to, and the address that
// others fetch them from.
type paths struct{ share, downloads, address string }

// define sets the flags up.
func define(fs *flag.FlagSet, o *terminal.Options, p *paths) {
	fs.StringVar(&o.Client.Server, "server", "127.0.0.1:9000", "`HOST:PORT` of the server")
	fs.StringVar(&o.Client.User, "user", os.Getenv("USER"), "`NAME` to log in with")
	fs.BoolVar(&o.Reconnect, "reconnect", true, "come back when the server was gone")
	fs.StringVar(&p.share, "share", "", "`DIR` whose files others may fetch; those in it alone, no hidden ones")
	fs.StringVar(&p.downloads, "downloads", ".", "`DIR` to save files in; none there is ever overwritten")
	fs.Func("share-ports", "`LOW-HIGH`, the ports others fetch from, where a firewall lets in no others", func(text string) (err error) {
		o.Files.Ports, err = transfer.ParsePorts(text)
		return err
	})
	fs.StringVar(&p.address, "share-address", "", "`HOST` others are told to fetch from, where the server passes it on (chatd -p2p-advertise claimed); "+
		"if this machine does not have it, files are offered on all its addresses")
	fs.Func("p2p", "`secure|legacy`: with tokens and checksums, or as clients do that know neither (secure)", func(text string) error {
		if text != "secure" && text != "legacy" {
			return errors.New("want secure or legacy")
		}
		o.Files.Legacy = text == "legacy"
		return nil
	})
}

// open opens the directories, which are closed by the process's end, and looks the
// address up.
func (p paths) open(ctx context.Context, o *transfer.Options) (err error) {
	if p.address != "" {
		if o.Address, err = transfer.LookUpAddress(ctx, p.address); err != nil {
			return err
		}
	}
	if p.share != "" {
		if o.Share, err = share.Open(p.share); err != nil {
			return err
		}
	}
	o.Downloads, err = downloads.Open(p.downloads)
	return err
}
