// Package tlsflags is how a client that speaks TLS is told so, and whom to trust, on a
// command line; and what to say of a handshake that failed, in words that name these
// flags. chat and loadgen share it.
//
// It refuses to connect: whoever does that adds the protocol's name and the server's
// to the configuration. A Flags belongs to one goroutine; Explain may be called from any.
package tlsflags

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Flags is how the server is spoken to. The zero value is ready for Define.
type Flags struct {
	tls        bool
	ca         string
	serverName string
	skipVerify bool
}

// Define adds the flags to a set.
func (f *Flags) Define(fs *flag.FlagSet) {
	fs.BoolVar(&f.tls, "tls", false, "speak TLS to the server, and make sure that it is the one")
	fs.StringVar(&f.ca, "ca", "", "trust the certificates in `FILE` (PEM) and no others: the server's own, or its authority's")
	fs.StringVar(&f.serverName, "tls-server-name", "", "`NAME` the server's certificate is for, if it is not the host of -server")
	fs.BoolVar(&f.skipVerify, "insecure-skip-verify", false, "do not check the server's certificate: for trying out, never for a password that matters")
}

// NeedsTLS is the error of a flag, which it is, that means nothing without -tls: a
// mistake on the command line.
type NeedsTLS string

func (e NeedsTLS) Error() string { return string(e) + " is for -tls: add -tls, or leave it out" }

// Config is what the flags say; nil: no TLS. It reads the file of -ca.
func (f *Flags) Config() (*tls.Config, error) {
	if !f.tls {
		switch {
		case f.ca != "":
			return nil, NeedsTLS("-ca")
		case f.serverName != "":
			return nil, NeedsTLS("-tls-server-name")
		case f.skipVerify:
			return nil, NeedsTLS("-insecure-skip-verify")
		}
		return nil, nil
	}
	cfg := &tls.Config{ServerName: f.serverName, InsecureSkipVerify: f.skipVerify}
	if f.ca == "" {
		return cfg, nil
	}
	text, err := os.ReadFile(f.ca)
	if err != nil {
		return nil, fmt.Errorf("-ca: %w", err)
	}
	cfg.RootCAs = x509.NewCertPool()
	if !cfg.RootCAs.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("-ca: there is no certificate in %s: it is a file of PEM blocks that say BEGIN CERTIFICATE", f.ca)
	}
	return cfg, nil
}

// Explain says what to do about a handshake that has failed with a server that was
// asked to be name. An error it knows nothing of is returned as it is.
func Explain(err error, name string) error {
	var (
		unknown x509.UnknownAuthorityError
		other   x509.HostnameError
		invalid x509.CertificateInvalidError
		plain   tls.RecordHeaderError
		network *net.OpError
	)
	switch {
	case errors.As(err, &unknown), errors.As(err, new(x509.SystemRootsError)):
		return fmt.Errorf("nobody this machine trusts has signed its certificate: if that is meant to be so, give the certificate, or that of its authority, with -ca FILE (%w)", err)
	case errors.As(err, &other):
		return fmt.Errorf("its certificate is not for %q: connect by the name it is for, or give that with -tls-server-name (%w)", name, err)
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return validity(invalid.Cert, time.Now())
	case errors.As(err, &plain):
		return errors.New("the server there does not speak TLS: leave -tls out")
	case errors.Is(err, io.EOF), errors.Is(err, unix.ECONNRESET):
		return errors.New("it hung up in the middle of the handshake: perhaps the server there does not speak TLS")
	case errors.As(err, &network) && network.Op == "remote error":
		return fmt.Errorf("it refuses: %w: perhaps this is no chat server, or it is set to another version of TLS", network.Err)
	}
	return err
}

// validity says how a certificate is out of date.
func validity(cert *x509.Certificate, now time.Time) error {
	if now.Before(cert.NotBefore) {
		return fmt.Errorf("its certificate is not valid before %s: look whether this machine's clock is right", cert.NotBefore.UTC().Format(time.RFC3339))
	}
	return fmt.Errorf("its certificate expired on %s: whoever runs the server has to renew it", cert.NotAfter.UTC().Format(time.DateOnly))
}
