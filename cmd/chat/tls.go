package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"os"
)

// security is how the server is spoken to.
type security struct {
	tls        bool
	ca         string
	serverName string
	skipVerify bool
}

func (s *security) define(fs *flag.FlagSet) {
	fs.BoolVar(&s.tls, "tls", false, "speak TLS to the server, and make sure that it is the one")
	fs.StringVar(&s.ca, "ca", "", "trust the certificates in `FILE` (PEM) and no others: the server's own, or its authority's")
	fs.StringVar(&s.serverName, "tls-server-name", "", "`NAME` the server's certificate is for, if it is not the host of -server")
	fs.BoolVar(&s.skipVerify, "insecure-skip-verify", false, "do not check the server's certificate: for trying out, never for a password that matters")
}

// errNeedsTLS is the error of a flag that means nothing without -tls.
type errNeedsTLS string

func (e errNeedsTLS) Error() string { return string(e) + " is for -tls: add -tls, or leave it out" }

// config is what the flags say; nil: no TLS.
func (s *security) config() (*tls.Config, error) {
	if !s.tls {
		switch {
		case s.ca != "":
			return nil, errNeedsTLS("-ca")
		case s.serverName != "":
			return nil, errNeedsTLS("-tls-server-name")
		case s.skipVerify:
			return nil, errNeedsTLS("-insecure-skip-verify")
		}
		return nil, nil
	}
	cfg := &tls.Config{ServerName: s.serverName, InsecureSkipVerify: s.skipVerify}
	if s.ca == "" {
		return cfg, nil
	}
	text, err := os.ReadFile(s.ca)
	if err != nil {
		return nil, fmt.Errorf("-ca: %w", err)
	}
	cfg.RootCAs = x509.NewCertPool()
	if !cfg.RootCAs.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("-ca: there is no certificate in %s: it is a file of PEM blocks that say BEGIN CERTIFICATE", s.ca)
	}
	return cfg, nil
}

// isUsage says whether an error is one of what was asked for.
func isUsage(err error) bool { return errors.As(err, new(errNeedsTLS)) }
