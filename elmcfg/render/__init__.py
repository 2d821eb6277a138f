"""Results to text and JSON: values in, strings out, nothing computed and nothing printed."""
