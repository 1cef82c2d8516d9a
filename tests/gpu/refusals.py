#!/usr/bin/env python3
"""Writes C of every function of a library of CUDA's that cudarc names: each says that it is not there, and refuses.

    refusals.py CUDARC_FOLDER MODULE PREFIX > functions.c

A function that the interpreter has comes before its refusal, which is weak.
"""
import re
import sys

NOT_SUPPORTED = 801  # CUDA_ERROR_NOT_SUPPORTED, and an error of the other libraries as well

cudarc, module, prefix = sys.argv[1:]
text = open(f"{cudarc}/src/{module}/sys/mod.rs", encoding="utf-8").read()
names = sorted(set(re.findall(rf"\bfn ({prefix}\w*)", text)))
if not names:
    sys.exit(f"refusals: cudarc names no functions of {module}")
print("#include <stdio.h>")
for name in names:
    words = f"PTX interpreter: {name} is not there\\n"
    print(f'__attribute__((weak)) int {name}() {{ fputs("{words}", stderr); return {NOT_SUPPORTED}; }}')
