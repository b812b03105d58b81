// Package tlsflags defines the flags with which chat and loadgen use TLS, and explains failed
// handshakes in terms of these flags.
//
// It does not connect: its user adds the names of the protocol and the server to the
// configuration. A Flags belongs to one goroutine; Explain may be called from any.
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

// Flags holds the values of the flags. The zero value is ready for Define.
type Flags struct {
	tls        bool
	ca         string
	serverName string
	skipVerify bool
}

// Define adds the flags to a set.
func (f *Flags) Define(fs *flag.FlagSet) {
	fs.BoolVar(&f.tls, "tls", false, "use TLS, and check the server's certificate")
	fs.StringVar(&f.ca, "ca", "", "trust only the certificates in `FILE` (PEM): the server's own, or its authority's")
	fs.StringVar(&f.serverName, "tls-server-name", "", "`NAME` in the server's certificate, if it is not the host of -server")
	fs.BoolVar(&f.skipVerify, "insecure-skip-verify", false, "do not check the server's certificate: only for tests, never with a password that matters")
}

// NeedsTLS is the error for a flag that has no effect without -tls. Its value is the flag.
type NeedsTLS string

func (e NeedsTLS) Error() string { return string(e) + " needs -tls: add -tls, or leave it out" }

// Config returns the configuration that the flags describe; nil means no TLS. It reads the file
// of -ca.
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
		return nil, fmt.Errorf("-ca: there is no certificate in %s: give a PEM file with a block BEGIN CERTIFICATE", f.ca)
	}
	return cfg, nil
}

// Explain says what to do about a failed handshake. name is the server name that was expected.
// An error that it does not know is returned unchanged.
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
		return fmt.Errorf("its certificate is not signed by an authority that this machine trusts: if that is intended, give the certificate, or that of its authority, with -ca FILE (%w)", err)
	case errors.As(err, &other):
		return fmt.Errorf("its certificate is not for %q: connect by the name in it, or give that name with -tls-server-name (%w)", name, err)
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return validity(invalid.Cert, time.Now())
	case errors.As(err, &plain):
		return errors.New("the server there does not speak TLS: leave -tls out")
	case errors.Is(err, io.EOF), errors.Is(err, unix.ECONNRESET):
		return errors.New("it hung up in the middle of the handshake: perhaps the server there does not speak TLS")
	case errors.As(err, &network) && network.Op == "remote error":
		return fmt.Errorf("it refuses the handshake: %w: perhaps it is not a chat server, or is set to another version of TLS", network.Err)
	}
	return err
}

// validity is the error for a certificate that is not valid yet, or has expired.
func validity(cert *x509.Certificate, now time.Time) error {
	if now.Before(cert.NotBefore) {
		return fmt.Errorf("its certificate is not valid before %s: check this machine's clock", cert.NotBefore.UTC().Format(time.RFC3339))
	}
	return fmt.Errorf("its certificate expired on %s: the server's operator has to renew it", cert.NotAfter.UTC().Format(time.DateOnly))
}
