"""Throwaway PostgreSQL servers, the proxy as a process, and a wire-protocol client for tests."""
