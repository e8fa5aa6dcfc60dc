package main

import "testing"

func TestHasPassword(t *testing.T) {
	for urls, want := range map[string]bool{
		"":                                     false,
		"postgres://app@localhost/app":         false,
		"postgres://localhost:5432/app":        false,
		"postgres:///app?host=/run/postgresql": false,
		"postgres://app:secret@localhost:5432/app":  true,
		"postgres://localhost/app?password=secret":  true,
		"postgres:///app?sslpassword=secret":        true,
		"http://localhost:1984":                     false,
		"[dir:///srv,https://a:b@archive.example]":  true,
		"http://localhost:1984,someone:b@localhost": true,
	} {
		if got := hasPassword(urls); got != want {
			t.Errorf("%s: got %v, want %v", urls, got, want)
		}
	}
}
