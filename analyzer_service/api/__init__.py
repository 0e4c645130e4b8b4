"""The wire interface of the Analyzer: `analyzer.proto` and the code generated from it."""
