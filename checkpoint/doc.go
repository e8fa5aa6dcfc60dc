// Package checkpoint makes whole-database copies and loads them: a signed
// manifest, and the chunks that it names by digest. A restore that begins with
// one need not replay what happened before it.
package checkpoint
