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

// paths holds the directories to share and to save in, and the address to share on, as
// the flags give them.
type paths struct{ share, downloads, address string }

// define defines the flags.
func define(fs *flag.FlagSet, o *terminal.Options, p *paths) {
	fs.StringVar(&o.Client.Server, "server", "127.0.0.1:9000", "`HOST:PORT` of the server")
	fs.StringVar(&o.Client.User, "user", os.Getenv("USER"), "`NAME` to log in with")
	fs.BoolVar(&o.Reconnect, "reconnect", true, "reconnect when the connection to the server is lost")
	fs.StringVar(&p.share, "share", "", "`DIR` whose files others may download, without subdirectories and hidden files")
	fs.StringVar(&p.downloads, "downloads", ".", "`DIR` to save downloads in; existing files are never overwritten")
	fs.Func("share-ports", "`LOW-HIGH`, the range of ports to share files on, for a firewall; any port if not given", func(text string) (err error) {
		o.Files.Ports, err = transfer.ParsePorts(text)
		return err
	})
	fs.StringVar(&p.address, "share-address", "", "`HOST` that others are told to download from, if the server passes it on (chatd -p2p-advertise claimed); "+
		"if this machine does not have that address, files are offered on all of its addresses")
	fs.Func("p2p", "`secure|legacy`: transfer files with tokens and checksums, or like old clients without them (default secure)", func(text string) error {
		if text != "secure" && text != "legacy" {
			return errors.New("want secure or legacy")
		}
		o.Files.Legacy = text == "legacy"
		return nil
	})
}

// open opens the directories, which stay open until the process ends, and looks up the
// address.
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
