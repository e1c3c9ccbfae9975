<?xml version="1.0" encoding="UTF-8"?>
<!-- Workload W1: a SOAP 1.1 death record flattened to the eight columns of the table reg. -->
<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform"
    xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/"
    xmlns:act="urn:example:bus:death-record:1.0" xmlns:who="urn:example:bus:person:1.0"
    exclude-result-prefixes="soap act who">
  <xsl:output encoding="UTF-8" omit-xml-declaration="yes"/>
  <xsl:template match="/">
    <xsl:for-each select="soap:Envelope/soap:Body/act:RegisterDeathRequest">
      <row>
        <id><xsl:value-of select="act:MessageId"/></id>
        <act_no><xsl:value-of select="act:ActNumber"/></act_no>
        <surname><xsl:value-of select="who:Surname"/></surname>
        <given><xsl:value-of select="concat(who:GivenName, ' ', who:Patronymic)"/></given>
        <birth_date><xsl:value-of select="who:BirthDate"/></birth_date>
        <death_date><xsl:value-of select="concat(act:DeathDate, 'T', act:DeathTime)"/></death_date>
        <place><xsl:value-of select="act:DeathPlace"/></place>
        <cause><xsl:value-of select="concat(act:CauseCode, ' ', act:CauseText)"/></cause>
      </row>
    </xsl:for-each>
  </xsl:template>
</xsl:stylesheet>
