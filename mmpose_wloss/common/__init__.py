"""What every other room stands on: errors, checks, files, configs, cameras."""
