// Package bloc is the bloc file: the versioned document, signed by an offline
// Ed25519 bloc key, that says who belongs to a bloc and who may do what in it;
// and the text forms of the keys that operators handle.
//
// # Guarantees
//
//   - What Parse returns was checked in full: sizes, names, no field that it
//     does not know, nothing after the document, and the bloc key's signature.
//   - A Policy answers from one whole document at a time. It is replaced only
//     by a document of the same bloc and the same bloc key with a higher
//     version; the same version with another content is refused, aloud.
//   - Rules match exactly, field by field; "*" stands for a whole field and
//     never for a part of one. What no rule allows is denied.
//
// The first bloc file that a node is given is its anchor of trust: it comes
// from the operator, by hand. Every later one is trusted by the bloc key that
// the first one names.
//
// The package is pure (no I/O) and belongs to floor 0; anybody may call it. A
// Document is a plain value with one owner until it is handed to a Policy,
// which shares it: nobody changes it after that. A Policy is safe for any
// goroutine.
package bloc
