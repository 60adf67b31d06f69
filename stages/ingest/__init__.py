"""Where footage comes from: listing files and reading their headers."""
