#!/usr/bin/env bash
# shellcheck disable=SC2016,SC2154
promises_readonly() { :; }
