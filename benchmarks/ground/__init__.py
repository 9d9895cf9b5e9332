"""What the benchmarks stand on (基准测试的底座): an installation, a brand, a load, a table."""
