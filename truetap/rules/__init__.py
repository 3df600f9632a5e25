"""What rules are, whatever they look at, and rules of one's own: `tt.rules`.

`rule.Rule` is the contract, `finding.Finding` what a rule says, `report.Report` what they say together;
`registry` takes rules of users and of installed packages. The rules of losses are in `truetap/loss_checks`, those of
models, data and runs in `truetap/diagnosis`.
"""

from truetap.rules.finding import Finding, Severity
from truetap.rules.registry import register, registered, unregister
from truetap.rules.report import Report
from truetap.rules.rule import Rule

__all__ = ["Finding", "Report", "Rule", "Severity", "register", "registered", "unregister"]
